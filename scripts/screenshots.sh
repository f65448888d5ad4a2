#!/bin/bash
# Every kind of page of a server with real data: light, dark and 390 pixels wide, with what is wrong
# with it. Without DATA, that of the demo.
#
# DATA=DIR    state of a server [default: the demo's]
# OUT=DIR     where the pictures go [default: .state/screenshots]
# PAGES='/jobs/7'  pages besides one of each kind
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/scenario.sh"

DATA=${DATA:-$STATE/data}
OUT=${OUT:-$STATE/screenshots}
[ -e "$DATA/token" ] || die "DATA: $DATA has no server's state; run: make demo"

"$ROOT/scripts/setup.sh"
open_step 'compile firstbad' build_all
cargo build --locked -p firstbad-browser
axe=$("$ROOT/scripts/axe.sh")
trap up_stop EXIT
up_start "$DATA" --no-worker
pages=()
for page in ${PAGES:-}; do pages+=(--page "$page"); done
"$TARGET/debug/firstbad-browser" look --axe "$axe" --out "$OUT" "${pages[@]}"
echo "pictures: $OUT"
