#!/bin/bash
# Every kind of page of a server with real data: light, dark and 390 pixels wide, with what is wrong
# with it, its HTML too. Without DATA, that of the demo.
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
vnu=$("$ROOT/scripts/vnu.sh")
finish() {
    "$FIRSTBAD" user disable browser >/dev/null 2>&1 || true
    up_stop
}
trap finish EXIT
up_start "$DATA" --no-worker
password=$(browser_account operator)
pages=()
for page in ${PAGES:-}; do pages+=(--page "$page"); done
rm -rf "$OUT/html"
"$TARGET/debug/firstbad-browser" look --axe "$axe" --out "$OUT" --html "$OUT/html" \
    --user browser --password-file "$password" "${pages[@]}"
# inputmode: every browser of these years has it, the checker is older.
java -jar "$vnu" --Werror --filterpattern '.*inputmode.*' "$OUT/html"/*.html
echo "HTML: $(find "$OUT/html" -name '*.html' | wc -l) pages are valid"
echo "pictures: $OUT"
