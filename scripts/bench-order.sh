#!/bin/bash
# Has the host's scheduler a say in an exact run? One run, recorded undisturbed, then again and
# again with QEMU alone while bench/delay.c keeps the vCPUs' thread waiting where it hurts most:
# console and result port must be the recorded bytes. Of the vCPUs' turns a few come and go at the
# start, before the threads are in order; more say that the order is the host's.
# The control is the same with the threads the other way round, the main one last: it shows that
# the delays would be seen. A machine with VCPUS=1 needs no order: its threads are delayed on all
# processors, and there is no control.
#
# RUNS=12                       runs of each kind, as many at once as there are processors
# SUITE=btrfs/crash-consistency what is run, of it CASE=fsync, with VCPUS=2 and SEED=1
# KERNEL=bzImage                [default: the tests' own, built when it is missing]
set -euo pipefail
. "$(dirname "$0")/lib.sh"

export RUNS=${RUNS:-12}
SUITE=${SUITE:-btrfs/crash-consistency}
CASE=${CASE-fsync}
VCPUS=${VCPUS:-2}
SEED=${SEED:-1}
KINDS='ordered control'
[ "$VCPUS" -gt 1 ] || KINDS=free
export OUT=$STATE/order

need_kernel
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
rm -rf "$OUT"
mkdir -p "$OUT/bin"
gcc -O2 -Wall -shared -fPIC -o "$OUT/delay.so" "$ROOT/bench/delay.c" -ldl
cat >"$OUT/bin/qemu-system-x86_64" <<SH
#!/bin/sh
LD_PRELOAD=$OUT/delay.so exec $(command -v qemu-system-x86_64) "\$@" -name debug-threads=on
SH
chmod +x "$OUT/bin/qemu-system-x86_64"

code=0
"$FIRSTBAD" run-suite "$SUITE" --kernel "$KERNEL" --vcpus "$VCPUS" --seed "$SEED" --dir "$OUT/recorded" \
    ${CASE:+--case "$CASE"} >"$OUT/recorded.txt" 2>&1 || code=$?
[ "$code" -lt 126 ] || die "our failure, not a run: $(tail -n 1 "$OUT/recorded.txt")"
recorded=$(cat "$OUT/recorded"/{console,frames}.log | sha256sum)

# once KIND RUN: one run in a directory of its own; leaves a line of digest and turns.
once() {
    local dir=$OUT/$1-$2
    mkdir "$dir"
    ln "$OUT/recorded"/{image,initramfs.cpio} "$dir"
    cp "$OUT/recorded/run.sh" "$dir"
    [ "$1" != control ] || sed -i 's/--pid 0 .*"/--pid 0 "$qemu"/' "$dir/run.sh"
    local on=(taskset -c $(($2 % $(nproc))))
    [ "$1" != free ] || on=()
    PATH=$OUT/bin:$PATH "${on[@]}" sh "$dir/run.sh" >"$dir/log" 2>&1 || :
    grep -q '^delay: ' "$dir/log" || echo "  $1 $2 did not run: $(tail -n 1 "$dir/log")"
    echo "$(cat "$dir"/{console,frames} 2>&1 | sha256sum) $(sed -n 's/^delay: \([0-9]*\) turns.*/\1/p' "$dir/log")" >"$dir.line"
    rm -rf "$dir"
}
export -f once
for kind in $KINDS; do
    for ((run = 1; run <= RUNS; run++)); do echo "$kind $run"; done
done | xargs -P "$(nproc)" -L 1 bash -c 'once "$@"' once

failed=0
printf '%-8s %10s   %s\n' threads identical 'turns, least and most'
for kind in $KINDS; do
    same=$(cat "$OUT/$kind"-*.line | grep -cF "$recorded" || :)
    mapfile -t turns < <(cut -d ' ' -f 4 "$OUT/$kind"-*.line | sort -n)
    printf '%-8s %10s   %s to %s\n' "$kind" "$same of $RUNS" "${turns[0]}" "${turns[-1]}"
    [ "${turns[0]}" -gt 0 ] || { echo 'nothing was delayed' && failed=1; }
    case $kind in
    ordered | free) [ "$same" -eq "$RUNS" ] || failed=1 ;;
    control) [ "${turns[0]}" != "${turns[-1]}" ] || { echo 'the delays were not seen' && failed=1; } ;;
    esac
done
exit "$failed"
