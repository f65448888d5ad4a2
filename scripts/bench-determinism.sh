#!/bin/bash
# Are exact runs exact? Every suite, many times with the same seed while the other
# cores are busy: console, result port and observation must be the same bytes. Then
# further seeds once each: how far the metrics lie apart between them.
#
# RUNS=20               runs per suite, seed and number of vCPUs
# SEEDS='1'             seeds that are repeated
# SPREAD='2 3 4 5'      seeds that are run once
# VCPUS='1 2'           sizes of the machine
# SUITES='btrfs/smoke'  [default: all]
# KERNEL=bzImage        [default: the tests' own, built when it is missing]
# MINUTES=60            no run begins later; what is missing then fails the bench
set -euo pipefail
. "$(dirname "$0")/lib.sh"

RUNS=${RUNS:-20}
SEEDS=${SEEDS:-1}
SPREAD=${SPREAD-2 3 4 5}
VCPUS=${VCPUS:-1 2}
SUITES=${SUITES:-$(cd "$ROOT/suites" && printf '%s\n' */*/suite.toml | sed 's|/suite.toml$||')}
OUT=$STATE/determinism
LOAD=()
UNTIL=$((SECONDS + 60 * ${MINUTES:-1000000}))

if [ -z "${KERNEL:-}" ]; then
    "$ROOT/scripts/setup.sh"
    open_step 'compile firstbad' build_all
    step 'test kernel' "$ROOT/scripts/test-kernel.sh"
    KERNEL=$STATE/test-kernel/bzImage
fi
export FIRSTBAD_GUEST_DIR=${FIRSTBAD_GUEST_DIR:-$GUEST_DIR}
rm -rf "$OUT"
mkdir -p "$OUT"

unload() {
    [ "${#LOAD[@]}" -eq 0 ] || kill "${LOAD[@]}" 2>/dev/null || true
}
trap unload EXIT
for ((core = 1; core < $(nproc); core++)); do
    (while :; do :; done) &
    LOAD+=($!)
done

# once DIR SUITE VCPUS SEED: one run; its text is in DIR.txt, its bytes are in DIR.
once() {
    rm -rf "$1"
    local code=0
    "$FIRSTBAD" run-suite --kernel "$KERNEL" --vcpus "$3" --seed "$4" --dir "$1" "$2" \
        >"$1.txt" 2>&1 </dev/null || code=$?
    [ "$code" -lt 126 ] || die "$2: $(tail -n 1 "$1.txt")"
    [ "$code" -eq 0 ] || printf '%-26s %5s %6s   not good (%s), see %s\n' "$2" "$3" "$4" "$code" "$1.txt"
}

# same DIR DIR: whether two runs left the same bytes.
same() {
    local file
    for file in console.log frames.log results.json; do
        cmp -s "$1/$file" "$2/$file" || { printf '%s' "$file"; return 1; }
    done
}

failed=0
printf '%-26s %5s %6s   %s\n' suite vCPUs seed identical
for suite in $SUITES; do
    for vcpus in $VCPUS; do
        if [ "$SECONDS" -ge "$UNTIL" ]; then
            printf '%-26s %5s          not reached\n' "$suite" "$vcpus"
            failed=1
            continue
        fi
        here=$OUT/${suite//\//-}-$vcpus
        for seed in $SEEDS; do
            first=$here-$seed
            once "$first" "$suite" "$vcpus" "$seed"
            equal=1
            for ((run = 2; run <= RUNS && SECONDS < UNTIL; run++)); do
                once "$first-again" "$suite" "$vcpus" "$seed"
                if file=$(same "$first" "$first-again"); then
                    equal=$((equal + 1))
                elif [ ! -e "$first-differs" ]; then
                    mv "$first-again" "$first-differs"
                    echo "  run $run differs: diff $first/$file $first-differs/$file"
                    diff -a "$first/$file" "$first-differs/$file" | cut -c 1-200 | head -n 6 || true
                fi
            done
            rm -rf "$first-again" "$first-again.txt" "$first"/{image,initramfs*,machines}
            printf '%-26s %5s %6s   %s of %s%s\n' "$suite" "$vcpus" "$seed" "$equal" "$RUNS" \
                "$([ "$run" -gt "$RUNS" ] || echo ", $((run - 1)) made")"
            [ "$equal" -eq "$RUNS" ] || failed=1
        done
        for seed in $SPREAD; do
            [ "$SECONDS" -lt "$UNTIL" ] || break
            once "$here-$seed" "$suite" "$vcpus" "$seed"
            rm -rf "$here-$seed"/{image,initramfs*,machines}
        done
    done
done

printf '\n%-26s %5s %-28s %12s %12s %9s\n' suite vCPUs metric least most spread
for suite in $SUITES; do
    for vcpus in $VCPUS; do
        # Lines of `run-suite`: "    NAME VALUE UNIT (BETTER is better)".
        cat "$OUT/${suite//\//-}-$vcpus"-[0-9]*.txt 2>/dev/null |
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
