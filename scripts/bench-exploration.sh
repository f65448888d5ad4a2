#!/bin/bash
# How many schedules do the seeds of exact runs reach, and with which knob most? Two
# planted races: writers that lose each other's updates, 20 rounds in each run, and
# (with BUSY_KERNEL) containers that leave an inode busy. Beside plain TCG on the wall
# clock. A row's knobs are options of `run-suite`.
# KVM is not measured: where a stock kernel boots under it, it is just another row.
# As many machines run at once as there are processors. What was run is kept and not run
# again with the same kernels and programs: the bench may be stopped and goes on.
#
# RUNS=100                 seeds of each row
# ROWS='exact shift=1'     [default: all; see below]
# KERNEL=bzImage           [default: the tests' own, built when it is missing]
# BUSY_KERNEL=bzImage      the bad end of the demo's busy-inodes [default: left out]
# MINUTES=60               no run begins later; what is missing then fails the bench
set -euo pipefail
. "$(dirname "$0")/lib.sh"

RUNS=${RUNS:-100}
ROWS=${ROWS:-calm exact shift=1 shift=3 shift=6 vcpus=2 vcpus=2,shift=3 vcpus=4 mixed tcg tcg,vcpus=2}
BUSY_KERNEL=${BUSY_KERNEL:-}

need_kernel
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
SAME=$({ qemu-system-x86_64 --version && cat "$KERNEL" $BUSY_KERNEL "$FIRSTBAD" "$FIRSTBAD_GUEST_DIR"/{firstbad-guest,fbtool}; } | sha256sum)
OUT=$STATE/exploration/${SAME:0:16}
UNTIL=$(($(date +%s) + 60 * ${MINUTES:-1000000}))
export FIRSTBAD KERNEL BUSY_KERNEL OUT UNTIL
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

# run ROW SEED KERNEL SUITE CASE: one run; its results are left in $dir/results.json.
run() {
    local code=0
    rm -rf "$dir"
    # shellcheck disable=SC2046
    "$FIRSTBAD" run-suite --kernel "$3" --seed "$2" $(options "$1" "$2") --case "$5" \
        --dir "$dir" "$4" >"$dir.said" 2>&1 </dev/null || code=$?
    [ "$code" -lt 126 ] && return 0
    echo "  $1, seed $2: our failure, not a run: $(tail -n 1 "$dir.said")"
    return 1
}

# once ROW SEED: the row's runs with a seed. A file of lines is left: the order and the losses of
# each round, `busy` if an inode was, and the seconds it took.
once() {
    local row=$1 seed=$2 began dir told
    told=$OUT/$row.$seed
    [ "$(date +%s)" -lt "$UNTIL" ] && [ ! -e "$told" ] || return 0
    dir=$OUT/run-$row-$seed
    began=$(date +%s.%N)
    if run "$row" "$seed" "$KERNEL" explore/race writers; then
        grep -o 'interleaving [0-9a-f]* lost [0-9]*' "$dir/results.json" >"$told.part" || true
        if [ -z "$BUSY_KERNEL" ] || run "$row" "$seed" "$BUSY_KERNEL" container/lifecycle many; then
            ! grep -q 'Busy inodes after unmount' "$dir/results.json" || echo busy >>"$told.part"
            echo "took $(date +%s.%N) $began" | awk '{ print $1, $2 - $3 }' >>"$told.part"
            mv "$told.part" "$told"
        fi
    fi
    rm -rf "$dir" "$dir.said" "$told.part"
}
export -f options run once

kvm='no /dev/kvm on this machine'
[ ! -e /dev/kvm ] || kvm='/dev/kvm is there; run-suite --mode real uses it only if a canary kernel boots under it'
echo "KVM: $kvm"
for row in $ROWS; do
    for ((seed = 1; seed <= RUNS; seed++)); do
        echo "$row $seed"
    done
done | xargs -P "$(nproc)" -L 1 bash -c 'once "$@"' once

failed=0
printf '%-16s %5s %7s   %-24s %-24s %-24s %s\n' knob runs rounds 'orders (per 100 rounds)' \
    'lost (per 100 rounds)' 'busy (per 100 runs)' s/run
for row in $ROWS; do
    seq -f "$OUT/$row.%.0f" "$RUNS" | xargs cat 2>/dev/null |
        awk -v row="$row" -v wanted="$RUNS" -v measured="$BUSY_KERNEL" '
        function share(n, all) { return sprintf("%d (%.0f)", n, all ? 100 * n / all : 0) }
        $1 == "took" { runs++; took += $2; next }
        $1 == "busy" { busy++; next }
        { rounds++; if (!seen[$2]++) distinct++; if ($4 > 0) lost++ }
        END {
            printf "%-16s %5d %7d   %-24s %-24s %-24s %.1f\n", row, runs, rounds, share(distinct, rounds),
                share(lost, rounds), measured ? share(busy, runs) : "not measured", runs ? took / runs : 0
            exit runs < wanted
        }' || failed=1
done
exit "$failed"
