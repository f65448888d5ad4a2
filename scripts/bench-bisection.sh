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

# told: what may not differ from search to search: what was built and run, with the digests of what
# came of it, and what was made of that.
told() {
    "$FIRSTBAD" attempts "$JOB" --json | jq -r '.[] | [.kind, .rev, .seed // "",
        (.artefacts[] | select(.name == "bzImage" or .name == "results.json") | .sha256)] | join(" ")' | sort
    "$FIRSTBAD" jobs "$JOB" --json | jq '.candidates[] | {rev, verdict, runs, bad_runs}'
    "$FIRSTBAD" jobs "$JOB" --json | jq .outcome
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
    printf 'search %d: %d builds, %d runs, confidence %s, %d s, told in all: %s\n' "$run" \
        "$(grep -c '^build ' "$DIR.told")" "$(grep -c '^test ' "$DIR.told")" \
        "$("$FIRSTBAD" jobs "$JOB" --json | jq .outcome.confidence)" $((SECONDS - began)) "$(sha256sum <"$DIR.told")"
    up_stop
    diff "$OUT/1.told" "$DIR.told" || failed=1
done
[ "$failed" -ne 0 ] || echo "$RUNS searches made the same probes, with the same bytes, and named the same commit: $SUBJECT"
exit "$failed"
