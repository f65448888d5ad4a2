#!/bin/bash
# From a bare Debian 12 to a planted Btrfs regression, named: set-up, compile,
# import, search, check. Exit 0 only if the answer is the planted one.
#
# CULPRIT=direct-io|busy-inodes|dio-slow|dio-2pct|fix|in-broken|noisy-warning
# MODE=exact|real  how it is run [default: exact]
# KEEP=1           leave the server running
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/scenario.sh"

CULPRIT=${CULPRIT:-direct-io}
DATA=$STATE/data
PLANT=$STATE/demo
MODE=${MODE:-exact}
CULPRITS='direct-io busy-inodes dio-slow dio-2pct fix in-broken noisy-warning'
case " $CULPRITS " in
*" $CULPRIT "*) ;;
*) die "CULPRIT: $CULPRIT is none of $CULPRITS" ;;
esac
case $MODE in
exact | real) ;;
*) die "MODE: $MODE is neither exact nor real" ;;
esac

began=$SECONDS
"$ROOT/scripts/setup.sh"
set_up=$((SECONDS - began))

mark=$SECONDS
open_step 'compile firstbad' build_all
compile=$((SECONDS - mark))

mark=$SECONDS
step 'plant the histories' "$DEMO" plant --source "$SOURCE" --dir "$PLANT"
trap up_stop EXIT
up_start "$DATA"
step 'mirror the tree' tree_ready linux-demo "$PLANT/linux-demo.git"
import=$((SECONDS - mark))

mark=$SECONDS
scenario_read "$PLANT/plan.json" "$CULPRIT"
scenario_submit "${RANGE[@]}" "${SIGNAL[@]}" --mode "$MODE" --title "demo: $CULPRIT"
scenario_watch
search=$((SECONDS - mark))

right=0
scenario_check || right=$?
if [ "$right" -eq 0 ]; then
    if [ "$CULPRIT" = in-broken ]; then
        echo 'RIGHT: exactly the planted candidates are left.'
    else
        echo "RIGHT: this is the planted commit ($SUBJECT)."
    fi
fi
printf 'wall time   %d s: set-up %d s, compile %d s, import %d s, search %d s\n' \
    $((SECONDS - began)) "$set_up" "$compile" "$import" "$search"
if [ "${KEEP:-}" = 1 ]; then
    trap - EXIT
    disown "$UP_PID"
    echo "The server is still at $FIRSTBAD_SERVER/; end it with: kill $UP_PID"
else
    echo 'The page is served again by: make up'
fi
exit "$right"
