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
# KSELFTEST=FILE        `kselftest.cpio` of a build of that kernel [default: that suite is left out]
# MINUTES=60            no run begins later; what is missing then fails the bench
set -euo pipefail
. "$(dirname "$0")/lib.sh"

RUNS=${RUNS:-20}
SEEDS=${SEEDS:-1}
SPREAD=${SPREAD-2 3 4 5}
VCPUS=${VCPUS:-1 2}
SUITES=${SUITES:-$(cd "$ROOT/suites" && printf '%s\n' */*/suite.toml | sed 's|/suite.toml$||')}
KSELFTEST=${KSELFTEST:-}

if [ -z "${KERNEL:-}" ]; then
    "$ROOT/scripts/setup.sh"
    open_step 'compile firstbad' build_all
    step 'test kernel' "$ROOT/scripts/test-kernel.sh"
    KERNEL=$STATE/test-kernel/bzImage
fi
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
export FIRSTBAD KERNEL KSELFTEST
if [ -z "$KSELFTEST" ]; then
    SUITES=${SUITES//container\/kselftest/}
    echo 'container/kselftest is left out: KSELFTEST names no selftests'
fi
# What a run is a function of, but for suite, machine and seed.
SAME=$(cat "$KERNEL" "$FIRSTBAD" "$FIRSTBAD_GUEST_DIR"/{firstbad-guest,fbtool} $KSELFTEST | sha256sum)
export OUT=$STATE/determinism/${SAME:0:16}
mkdir -p "$OUT"
UNTIL=$(($(date +%s) + 60 * ${MINUTES:-1000000}))
export UNTIL

# once SUITE VCPUS SEED RUN: one run; a line of digests and a file of its text are left. The
# bytes are kept of the first run of a seed, and of the first that differs from it.
once() {
    local suite=$1 vcpus=$2 seed=$3 run=$4 code=0 name first digest
    name=${suite//\//-}-$vcpus-$seed
    [ "$(date +%s)" -lt "$UNTIL" ] && [ ! -e "$OUT/$name.$run" ] || return 0
    local dir=$OUT/$name-$run
    rm -rf "$dir"
    "$FIRSTBAD" run-suite --kernel "$KERNEL" ${KSELFTEST:+--kselftest "$KSELFTEST"} \
        --vcpus "$vcpus" --seed "$seed" --dir "$dir" "$suite" >"$dir.txt" 2>&1 </dev/null || code=$?
    if [ "$code" -ge 126 ]; then
        echo "  $suite, $vcpus vCPUs, seed $seed: our failure, not a run: $(tail -n 1 "$dir.txt")"
        rm -rf "$dir" "$dir.txt"
        return 0
    fi
    digest=$(cd "$dir" && sha256sum console.log frames.log results.json | sha256sum)
    rm -rf "$dir"/{image,initramfs*,machines,out}
    first=$OUT/$name-1
    [ "$run" -eq 1 ] || rm "$dir.txt"
    if [ "$run" -ne 1 ] && { [ ! -e "$OUT/$name.1" ] ||
        [ "$(cut -d ' ' -f 1 "$OUT/$name.1")" = "${digest:0:64}" ] || ! mv -T "$dir" "$first-differs"; }; then
        rm -rf "$dir"
    fi
    printf '%s %s\n' "${digest:0:64}" "$code" >"$OUT/$name.$run"
}
export -f once

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
            name=$OUT/${suite//\//-}-$vcpus-$seed
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
        cat "$OUT/${suite//\//-}-$vcpus"-[0-9]*-1.txt 2>/dev/null |
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
