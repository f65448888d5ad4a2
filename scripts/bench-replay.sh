#!/bin/bash
# A recorded exact run again and again: by `firstbad replay`, and by the plain QEMU
# line that it prints, for people without firstbad. Each must be the recording.
#
# ATTEMPT=60   a test of the server at FIRSTBAD_SERVER
# RUNS=20      replays of each kind
set -euo pipefail
. "$(dirname "$0")/lib.sh"

ATTEMPT=${ATTEMPT:?number of the attempt}
RUNS=${RUNS:-20}
OUT=$STATE/replay
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}

# by_firstbad, by_hand: one replay in the empty directory they are called in.
by_firstbad() { "$FIRSTBAD" replay "$ATTEMPT"; }
by_hand() { "$FIRSTBAD" replay --print "$ATTEMPT" | bash; }

failed=0
for kind in by_firstbad by_hand; do
    same=0 began=$SECONDS
    for ((run = 1; run <= RUNS; run++)); do
        rm -rf "$OUT"
        mkdir -p "$OUT"
        if (cd "$OUT" && "$kind") >"$STATE/log/replay.log" 2>&1 </dev/null; then
            same=$((same + 1))
        else
            echo "  replay $run is not the recording:"
            tail -n 5 "$STATE/log/replay.log"
        fi
    done
    printf '%-12s attempt %s: %s of %s are the recording, %s s each\n' \
        "$kind" "$ATTEMPT" "$same" "$RUNS" $(((SECONDS - began) / RUNS))
    [ "$same" -eq "$RUNS" ] || failed=1
done
rm -rf "$OUT"
exit "$failed"
