#!/bin/bash
# Is a whole search reproducible? A planted one, again and again, each time from an empty
# database and by a worker that has nothing but a compiler's cache: each must make the same
# probes with the same bytes and end with the same answer, down to its confidence.
#
# CULPRIT=busy-inodes  a history that the demo plants
# RUNS=2               searches
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/scenario.sh"

CULPRIT=${CULPRIT:-busy-inodes}
RUNS=${RUNS:-2}
PLANT=$STATE/demo
OUT=$STATE/bisection

"$ROOT/scripts/setup.sh"
open_step 'compile firstbad' build_all
step 'plant the histories' "$DEMO" plant --source "$SOURCE" --dir "$PLANT"
scenario_read "$PLANT/plan.json" "$CULPRIT"
rm -rf "$OUT"
mkdir -p "$OUT"
trap up_stop EXIT

# of_attempts KIND KEY...: a line an attempt of the job with what is asked for of it.
of_attempts() {
    local kind=$1 columns=() key
    shift
    for key in "$@"; do
        awk -v kind="$kind" -v key="$key" -f "$ROOT/scripts/attempts.awk" "$DIR.json" >"$DIR.$key"
        columns+=("$DIR.$key")
    done
    paste -d ' ' "${columns[@]}" | sort | sed "s/^/$kind /"
    rm "${columns[@]}"
}

# told: what may not differ from search to search.
told() {
    "$FIRSTBAD" attempts "$JOB" --json >"$DIR.json"
    of_attempts build rev bzImage
    of_attempts test rev seed results.json
    "$FIRSTBAD" jobs "$JOB" --json | sed -n '/^  "result": {/,/^  }/p'
}

failed=0
compiled=$STATE/ccache
for ((run = 1; run <= RUNS; run++)); do
    DIR=$OUT/$run
    ccache_given "$DIR" "$compiled"
    compiled=$DIR/worker/ccache/linux-demo
    began=$SECONDS
    up_start "$DIR"
    step 'mirror the tree' tree_ready linux-demo "$PLANT/linux-demo.git"
    scenario_submit "${RANGE[@]}" "${SIGNAL[@]}" --title "$CULPRIT, search $run"
    scenario_watch
    scenario_check || failed=1
    told >"$DIR.told"
    up_stop
    printf 'search %d: %d builds, %d runs, confidence %s, %d s, told in all: %s\n' "$run" \
        "$(grep -c '^build ' "$DIR.told")" "$(grep -c '^test ' "$DIR.told")" \
        "$(sed -n 's/^ *"confidence": \(.*\),$/\1/p' "$DIR.told")" $((SECONDS - began)) "$(sha256sum <"$DIR.told")"
    diff "$OUT/1.told" "$DIR.told" || failed=1
done
[ "$failed" -ne 0 ] || echo "$RUNS searches made the same probes, with the same bytes, and named the same commit: $SUBJECT"
exit "$failed"
