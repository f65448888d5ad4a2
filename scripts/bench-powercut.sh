#!/bin/bash
# Power cuts of Btrfs: the good kernel must lose nothing that was durable, and a kernel that
# leaves out a flush must be caught. Builds the tests' kernel, and once more with each patch of
# scripts/powercut; then runs btrfs/crash-consistency: all of it on the good kernel, one case on
# the others.
#
# SEEDS='1 2'           runs of each kernel
# MUTANTS='no-fua-super'  names of patches [default: all]
# CASE=fsync            the case that must catch them
set -euo pipefail
. "$(dirname "$0")/lib.sh"

SUITE=btrfs/crash-consistency
SEEDS=${SEEDS:-1}
CASE=${CASE:-fsync}
MUTANTS=${MUTANTS-$(cd "$ROOT/scripts/powercut" && ls ./*.patch | sed 's|^./||; s|.patch$||')}
OUT=$STATE/powercut

"$ROOT/scripts/setup.sh"
open_step 'compile firstbad' build_all
step 'test kernel' "$ROOT/scripts/test-kernel.sh"
for mutant in $MUTANTS; do
    step "kernel $mutant" "$ROOT/scripts/test-kernel.sh" "$ROOT/scripts/powercut/$mutant.patch"
done
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
rm -rf "$OUT"
mkdir -p "$OUT"

# count FILE WHAT: the sum of a metric over the cases, of lines "    MODE_WHAT N count (…)".
count() { awk -v what="_$2\$" '$1 ~ what && $3 == "count" { sum += $2 } END { print sum + 0 }' "$1"; }

failed=0
printf '\n%-20s %5s %6s %8s %6s   %s\n' kernel seed cuts 'log used' wrong verdict
for kernel in good $MUTANTS; do
    image=$STATE/test-kernel/$kernel.bzImage
    only=(--case "$CASE")
    if [ "$kernel" = good ]; then
        image=$STATE/test-kernel/bzImage
        only=()
    fi
    for seed in $SEEDS; do
        log=$OUT/$kernel-$seed.txt
        code=0
        "$FIRSTBAD" run-suite --kernel "$image" --seed "$seed" "${only[@]}" "$SUITE" >"$log" 2>&1 </dev/null || code=$?
        case $kernel/$code in
        good/0) said='no alarm' ;;
        good/1) said='FALSE ALARM' ;;
        */1) said='caught' ;;
        */0) said='MISSED' ;;
        *) said="NO RESULT ($code), see $log" ;;
        esac
        [[ $said =~ ^(no alarm|caught)$ ]] || failed=1
        printf '%-20s %5s %6s %8s %6s   %s\n' "$kernel" "$seed" \
            "$(count "$log" cuts)" "$(count "$log" replays)" "$(count "$log" wrong)" "$said"
    done
done
exit "$failed"
