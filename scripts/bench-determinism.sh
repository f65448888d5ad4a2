#!/bin/bash
# Are exact runs exact? Every suite, many times with the same seed, as many machines at
# once as there are processors, each the load of the others: console, result port and
# observation must be the same bytes. Then further seeds once each: how far the metrics lie
# apart between them. What was run is kept and not run again with the same kernel and
# programs: the bench may be stopped and goes on.
#
# RUNS=20               runs per suite, seed and number of vCPUs
# SEEDS='1'             seeds that are repeated
# SPREAD='2 3 4 5'      seeds that are run once
# VCPUS='1 2'           sizes of the machine
# SUITES='btrfs/smoke'  [default: all]
# KERNEL=bzImage        [default: the tests' own, built when it is missing]
# KSELFTEST=DIR|CPIO    the kernel's selftests, as run-suite takes them [default: those of the tests'
#                       kernel; with another KERNEL, that suite is left out]
# FSTESTS=DIR|CPIO      fstests, as run-suite takes it [default: that suite is left out]
# FSTESTS_CASES='...'   its tests that are run [default: five of direct and of random I/O]
# MINUTES=60            no run begins later; what is missing then fails the bench
set -euo pipefail
. "$(dirname "$0")/lib.sh"

RUNS=${RUNS:-20}
SEEDS=${SEEDS:-1}
SPREAD=${SPREAD-2 3 4 5}
VCPUS=${VCPUS:-1 2}
SUITES=${SUITES:-$(cd "$ROOT/suites" && printf '%s\n' */*/suite.toml | sed 's|/suite.toml$||')}
KSELFTEST=${KSELFTEST:-}
FSTESTS=${FSTESTS:-}
FSTESTS_CASES=${FSTESTS_CASES:-generic/001 generic/013 generic/091 generic/240 generic/263}

if [ -z "${KERNEL:-}" ]; then
    "$ROOT/scripts/setup.sh"
    open_step 'compile firstbad' build_all
    step 'test kernel' "$ROOT/scripts/test-kernel.sh"
    KERNEL=$STATE/test-kernel/bzImage
    KSELFTEST=${KSELFTEST:-$STATE/test-kernel/source}
fi
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
export FIRSTBAD KERNEL
digest() { sha256sum | cut -c 1-16; }
# What a run is a function of, but for suite, what only that suite is given, machine and seed.
SAME=$({ qemu-system-x86_64 --version && cat "$KERNEL" "$FIRSTBAD" "$FIRSTBAD_GUEST_DIR"/{firstbad-guest,fbtool}; } | digest)
export OUT=$STATE/determinism/$SAME
mkdir -p "$OUT"

# built OPTION DIR|CPIO SUITE CASE: the archive; of a folder, run-suite makes it, again when
# something in it is newer.
built() {
    local dir=$OUT/$1-of-folder
    if [ -d "$2" ] && { [ ! -e "$dir/$1.cpio" ] || [ -n "$(find "$2" -newer "$dir/$1.cpio" -print -quit)" ]; }; then
        rm -rf "$dir"
        "$FIRSTBAD" run-suite --kernel "$KERNEL" "--$1" "$2" --dir "$dir" --case "$4" "$3" >"$dir.txt" 2>&1 ||
            [ -e "$dir/$1.cpio" ] || die "cannot build $1 of $2: $(tail -n 1 "$dir.txt")"
    fi
    if [ -d "$2" ]; then printf '%s\n' "$dir/$1.cpio"; else printf '%s\n' "$2"; fi
}
# What only these suites get; its digest is in the names of their runs.
export KSELFTEST FSTESTS FSTESTS_CASES KSELFTEST_SAME='' FSTESTS_SAME=''
if [ -n "$KSELFTEST" ]; then
    KSELFTEST=$(built kselftest "$KSELFTEST" container/kselftest nsfs)
    KSELFTEST_SAME=-$(digest <"$KSELFTEST")
else
    SUITES=${SUITES//container\/kselftest/}
    echo 'container/kselftest is left out: KSELFTEST names no selftests'
fi
if [ -n "$FSTESTS" ]; then
    FSTESTS=$(built fstests "$FSTESTS" btrfs/fstests generic/013)
    FSTESTS_SAME=-$({ echo "$FSTESTS_CASES" && cat "$FSTESTS"; } | digest)
else
    SUITES=${SUITES//btrfs\/fstests/}
    echo 'btrfs/fstests is left out: FSTESTS names no fstests'
fi
# name SUITE: what the files of its runs begin with.
name() {
    local name=$OUT/${1//\//-}
    case $1 in
    container/kselftest) name+=$KSELFTEST_SAME ;;
    btrfs/fstests) name+=$FSTESTS_SAME ;;
    esac
    printf '%s\n' "$name"
}
UNTIL=$(($(date +%s) + 60 * ${MINUTES:-1000000}))
export UNTIL

# once SUITE VCPUS SEED RUN: one run; a line of digests and a file of its text are left. The
# bytes are kept of the first run of a seed, and of the first that differs from it.
once() {
    local suite=$1 vcpus=$2 seed=$3 run=$4 code=0 name dir args=() test digest
    name=$(name "$suite")-$vcpus-$seed
    [ "$(date +%s)" -lt "$UNTIL" ] && [ ! -e "$name.$run" ] || return 0
    case $suite in
    container/kselftest) args=(--kselftest "$KSELFTEST") ;;
    btrfs/fstests)
        args=(--fstests "$FSTESTS")
        for test in $FSTESTS_CASES; do args+=(--case "$test"); done
        ;;
    esac
    dir=$name-$run
    rm -rf "$dir"
    "$FIRSTBAD" run-suite "$suite" --kernel "$KERNEL" --vcpus "$vcpus" --seed "$seed" --dir "$dir" "${args[@]}" \
        >"$dir.txt" 2>&1 </dev/null || code=$?
    if [ "$code" -ge 126 ]; then
        echo "  $suite, $vcpus vCPUs, seed $seed: our failure, not a run: $(tail -n 1 "$dir.txt")"
        rm -rf "$dir" "$dir.txt"
        return 0
    fi
    digest=$(cd "$dir" && sha256sum console.log frames.log results.json | sha256sum)
    rm -rf "$dir"/{image,initramfs*,machines,out}
    [ "$run" -eq 1 ] || rm "$dir.txt"
    if [ "$run" -ne 1 ] && { [ ! -e "$name.1" ] ||
        [ "$(cut -d ' ' -f 1 "$name.1")" = "${digest:0:64}" ] || ! mv -T "$dir" "$name-1-differs"; }; then
        rm -rf "$dir"
    fi
    printf '%s %s\n' "${digest:0:64}" "$code" >"$name.$run"
}
export -f name once

lines=()
for suite in $SUITES; do
    for vcpus in $VCPUS; do
        for seed in $SEEDS; do
            for ((run = 1; run <= RUNS; run++)); do
                lines+=("$suite $vcpus $seed $run")
            done
        done
        for seed in $SPREAD; do
            lines+=("$suite $vcpus $seed 1")
        done
    done
done
# At least two at once: a machine is never alone.
printf '%s\n' "${lines[@]}" | xargs -P $(($(nproc) > 1 ? $(nproc) : 2)) -L 1 bash -c 'once "$@"' once

failed=0
printf '%-26s %5s %6s   %-10s %s\n' suite vCPUs seed identical 'exit code'
for suite in $SUITES; do
    for vcpus in $VCPUS; do
        for seed in $SEEDS; do
            name=$(name "$suite")-$vcpus-$seed
            cat "$name".[0-9]* 2>/dev/null | awk -v runs="$RUNS" -v wanted="$(cut -d ' ' -f 1 "$name.1" 2>/dev/null)" \
                -v row="$(printf '%-26s %5s %6s' "$suite" "$vcpus" "$seed")" '
                { made++; same += $1 == wanted; code[$2] }
                END {
                    codes = ""
                    for (c in code) codes = codes " " c
                    printf "%s   %d of %d  %s%s\n", row, same, runs, codes, made < runs ? ", " made + 0 " made" : ""
                    exit same < runs
                }' || failed=1
        done
    done
done

printf '\n%-26s %5s %-28s %12s %12s %9s\n' suite vCPUs metric least most spread
for suite in $SUITES; do
    for vcpus in $VCPUS; do
        # Lines of `run-suite`: "    NAME VALUE UNIT (BETTER is better)".
        cat "$(name "$suite")-$vcpus"-[0-9]*-1.txt 2>/dev/null |
            awk -v suite="$suite" -v vcpus="$vcpus" '
                / is better\)$/ {
                    v = $2 + 0
                    if (!($1 in least)) { order[++n] = $1; least[$1] = most[$1] = v }
                    if (v < least[$1]) least[$1] = v
                    if (v > most[$1]) most[$1] = v
                }
                END {
                    for (i = 1; i <= n; i++) {
                        m = order[i]
                        spread = least[m] ? 100 * (most[m] - least[m]) / least[m] : 0
                        printf "%-26s %5s %-28s %12.3f %12.3f %7.2f %%\n",
                            suite, vcpus, m, least[m], most[m], spread
                    }
                }'
    done
done
exit "$failed"
