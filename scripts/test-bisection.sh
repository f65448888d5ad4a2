#!/bin/bash
# One whole bisection of the short planted history: real builds, real boots, a
# state directory of its own. Ends with 0 only if the planted commit is named and
# no finished stage was run twice.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/scenario.sh"

DATA=$STATE/test-data
PLANT=$STATE/test-demo
rm -rf "$DATA"

trap up_stop EXIT
# One more scenario than needed: the planter has no way to plant the short one alone.
step 'plant the short history' "$DEMO" plant --source "$SOURCE" --dir "$PLANT" \
    --culprit direct-io --short
up_start "$DATA"
step 'mirror the tree' tree_ready linux-demo "$PLANT/linux-demo.git"
scenario_read "$PLANT/plan.json" short
scenario_submit --title 'test: short history'
scenario_watch
scenario_check
echo "the planted commit was named: $SUBJECT"
