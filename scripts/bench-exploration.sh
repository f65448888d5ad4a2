#!/bin/bash
# How many schedules do the seeds of exact runs reach, and with which knob most? Two
# planted races: writers that lose each other's updates, 20 rounds in each run, and
# (with BUSY_KERNEL) containers that leave an inode busy. Beside plain TCG on the wall
# clock. A row's knobs are options of `run-suite`.
# KVM is not measured: where a stock kernel boots under it, it is just another row.
#
# RUNS=100                 seeds of each row
# ROWS='exact shift=1'     [default: all; see below]
# KERNEL=bzImage           [default: the tests' own, built when it is missing]
# BUSY_KERNEL=bzImage      the bad end of the demo's busy-inodes [default: left out]
set -euo pipefail
. "$(dirname "$0")/lib.sh"

RUNS=${RUNS:-100}
ROWS=${ROWS:-calm exact shift=1 shift=3 shift=6 vcpus=2 vcpus=2,shift=3 vcpus=4 mixed tcg tcg,vcpus=2}
OUT=$STATE/exploration

if [ -z "${KERNEL:-}" ]; then
    "$ROOT/scripts/setup.sh"
    open_step 'compile firstbad' build_all
    step 'test kernel' "$ROOT/scripts/test-kernel.sh"
    KERNEL=$STATE/test-kernel/bzImage
fi
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
rm -rf "$OUT"
mkdir -p "$OUT"

# options ROW SEED: the arguments that a row means. "mixed" takes all from the seed.
options() {
    local part
    for part in ${1//,/ }; do
        case $part in
        exact) ;;
        calm) echo --calm ;;
        tcg) echo --mode real ;;
        mixed) echo --vcpus $((1 + $2 % 2)) --shift $(($2 / 2 % 4)) ;;
        *) echo "--${part%=*} ${part#*=}" ;;
        esac
    done
}

# once ROW SEED KERNEL SUITE CASE: one run, its results in $OUT/run/results.json.
once() {
    local code=0
    rm -rf "$OUT/run"
    # shellcheck disable=SC2046
    "$FIRSTBAD" run-suite --kernel "$3" --seed "$2" $(options "$1" "$2") --case "$5" \
        --dir "$OUT/run" "$4" >"$OUT/said" 2>&1 </dev/null || code=$?
    [ "$code" -lt 126 ] || die "$1, seed $2: $(tail -n 1 "$OUT/said")"
}

kvm='no /dev/kvm on this machine'
[ ! -e /dev/kvm ] || kvm='/dev/kvm is there; run-suite --mode real uses it only if a canary kernel boots under it'
echo "KVM: $kvm"
printf '%-16s %5s %7s   %-24s %-24s %-24s %s\n' knob runs rounds 'orders (per 100 rounds)' \
    'lost (per 100 rounds)' 'busy (per 100 runs)' s/run
for row in $ROWS; do
    : >"$OUT/orders"
    busy=0
    began=$SECONDS
    for ((seed = 1; seed <= RUNS; seed++)); do
        once "$row" "$seed" "$KERNEL" explore/race writers
        grep -o 'interleaving [0-9a-f]* lost [0-9]*' "$OUT/run/results.json" >>"$OUT/orders"
        if [ -n "${BUSY_KERNEL:-}" ]; then
            once "$row" "$seed" "$BUSY_KERNEL" container/lifecycle many
            ! grep -q 'Busy inodes after unmount' "$OUT/run/results.json" || busy=$((busy + 1))
        fi
    done
    took=$((SECONDS - began))
    awk -v row="$row" -v runs="$RUNS" -v busy="${BUSY_KERNEL:+$busy}" -v took="$took" '
        function share(n, all) { return sprintf("%d (%.0f)", n, all ? 100 * n / all : 0) }
        { if (!seen[$2]++) distinct++; if ($4 > 0) lost++ }
        END {
            printf "%-16s %5d %7d   %-24s %-24s %-24s %.1f\n", row, runs, NR, share(distinct, NR),
                share(lost, NR), busy == "" ? "not measured" : share(busy, runs), took / runs
        }' "$OUT/orders"
done
