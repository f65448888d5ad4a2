#!/bin/bash
# How good is the search? Prints every target with what was measured and whether it
# is met, seeds included; the same seeds give the same numbers, times excepted.
#
# DAG_REPOS='a b'   clones of u-boot and of git [default: cloned from their addresses]
# ONLY='T2 T5'      only these parts
# SCALE=1           factor on the number of seeds
# FIRSTBAD=path     program to measure [default: compiled here, release]
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
STATE=${FIRSTBAD_STATE:-$ROOT/.state}/bench-search
SCALE=${SCALE:-1}
ONLY=${ONLY:-T1 T2 T5 T6 T7 T8 T9 T10 T11 T12 CASES T13 BAYESECT}
UBOOT_URL=https://github.com/u-boot/u-boot
GIT_URL=https://github.com/git/git
BARE=(--none-prior 0 --dispersion off --verify off)
RATES=('0.9 0' '0.9 0.01' '0.9 0.05' '0.5 0' '0.5 0.01' '0.5 0.05' '0.2 0' '0.2 0.01' '0.2 0.05')
FAILED=0
CHECKED=0
mkdir -p "$STATE"

say() { printf '%s\n' "$*"; }

if [ -z "${FIRSTBAD:-}" ]; then
    (cd "$ROOT" && cargo build --quiet --release --locked -p firstbad)
    FIRSTBAD=$TARGET/release/firstbad
fi

# seeds N: N scaled, at least 20.
seeds() { awk -v n="$1" -v s="$SCALE" 'BEGIN { n *= s; print int(n < 20 ? 20 : n) }'; }

calc() { awk "BEGIN { printf \"%.6g\", $* }"; }

# sim GRAPH SEEDS OPTIONS...: leaves the summary in SUMMARY. Seeds count up from 1.
sim() {
    local graph=$1 repeat
    repeat=$(seeds "$2")
    shift 2
    SUMMARY=$("$FIRSTBAD" simulate --dag "$STATE/$graph" --json --summary --seed 1 --repeat "$repeat" "$@")
}

# get KEY: a number of the last summary.
get() { grep -o "\"$1\":[-0-9.e]*" <<<"$SUMMARY" | head -n 1 | cut -d: -f2; }

# check NAME VALUE '<='|'>=' LIMIT
check() {
    local verdict=pass
    CHECKED=$((CHECKED + 1))
    if ! awk -v a="$2" -v b="$4" -v op="$3" 'BEGIN { exit !(op == "<=" ? a <= b : a >= b) }'; then
        verdict=FAIL
        FAILED=$((FAILED + 1))
    fi
    printf '%-58s %10.5g %s %-8.5g %s\n' "$1" "$2" "$3" "$4" "$verdict"
}

line() {
    awk -v n="$1" 'BEGIN { print "c0"; for (i = 1; i < n; i++) print "c" i, "c" i - 1 }' >"$STATE/line$1"
}

# dag REPO RANGE NAME: the commits of a range with their parents inside it.
dag() {
    git -C "$1" rev-list --topo-order --reverse --parents "$2" |
        awk '{ seen[$1] = 1; out = $1; for (i = 2; i <= NF; i++) if ($i in seen) out = out " " $i; print out }' \
            >"$STATE/$3"
}

# clone URL NAME: prints where it is, or nothing.
clone() {
    local to=$STATE/$2.git
    if [ ! -d "$to" ] && ! git clone --quiet --bare --filter=tree:0 "$1" "$to" 2>"$STATE/clone.log"; then
        say "$2: cannot be cloned from $1: $(tail -n 1 "$STATE/clone.log")" >&2
        return
    fi
    say "$to"
}

repositories() {
    local repo
    UBOOT='' GITGIT=''
    for repo in ${DAG_REPOS:-}; do
        if git -C "$repo" rev-parse -q --verify 'v2024.07^{commit}' >"$STATE/rev"; then
            UBOOT=$repo
        elif git -C "$repo" rev-parse -q --verify 'v2.40.0^{commit}' >"$STATE/rev"; then
            GITGIT=$repo
        else
            say "$repo is a clone neither of u-boot nor of git"
        fi
    done
    if [ -z "${DAG_REPOS:-}" ]; then
        UBOOT=$(clone "$UBOOT_URL" u-boot)
        GITGIT=$(clone "$GIT_URL" git)
    fi
    GRAPHS=(line1024 line16384)
    line 1024
    line 16384
    if [ -n "$UBOOT" ]; then
        GRAPHS+=(uboot)
        dag "$UBOOT" v2024.07..v2025.01 uboot
        dag "$UBOOT" v2016.01..HEAD uboot-large
    else
        say 'without u-boot: its rows are missing below'
    fi
    if [ -n "$GITGIT" ]; then
        GRAPHS+=(git)
        dag "$GITGIT" v2.40.0..v2.43.0 git
        dag "$GITGIT" v1.6.0..HEAD git-large
    else
        say 'without git: its rows are missing below'
    fi
}

shape() { awk '{ n++; m += NF > 2 } END { print n " commits, " m + 0 " merges" }' "$STATE/$1"; }

# git_steps REPO RANGE: mean number of revisions git asks for, over every commit of the range as the
# culprit: the sizes of all ranges it can meet, added up, by their number.
git_steps() {
    local todo=("${2#*..} ^${2%..*}") all=0 asked=0 args
    local bisect_rev bisect_nr bisect_good bisect_bad bisect_all bisect_steps
    while [ "${#todo[@]}" -gt 0 ]; do
        args=${todo[-1]}
        unset 'todo[-1]'
        # shellcheck disable=SC2086
        eval "$(git -C "$1" rev-list --bisect-vars $args)"
        [ "$all" -gt 0 ] || all=$bisect_all
        asked=$((asked + bisect_all))
        # One commit that is left is not asked for.
        [ "$bisect_bad" -eq 0 ] || todo+=("$bisect_rev ^${args#*^}")
        [ "$bisect_good" -eq 0 ] || todo+=("$args ^$bisect_rev")
    done
    calc "$asked / $all"
}

t1_repository() {
    local repo=$1 range=$2 name=$3 large_range=$4 mismatches n theirs
    n=$(wc -l <"$STATE/$name")
    SUMMARY=$("$FIRSTBAD" simulate --dag "$STATE/$name" --culprit each --seed 0 --repeat "$n" \
        --p-bad 1 --p-good 0 "${BARE[@]}" --json --summary)
    theirs=$(git_steps "$repo" "$range")
    check "T1 $name: $(get test_runs) steps less git's $theirs, every commit" \
        "$(calc "$(get test_runs) - $theirs")" '<=' 0.05
    check "T1 $name: right" "$(get right)" '>=' 1
    git -C "$repo" rev-list --bisect-all "$large_range" |
        sed -E 's/^([0-9a-f]+).*dist=([0-9]+).*/\1 \2/' | sort >"$STATE/theirs"
    "$FIRSTBAD" weights --dag "$STATE/$name-large" | sort >"$STATE/ours"
    mismatches=$(diff "$STATE/theirs" "$STATE/ours" | grep -c '^[<>]' || true)
    check "T1 $name: weights that differ, of $(wc -l <"$STATE/theirs") commits" "$mismatches" '<=' 0
}

t1() {
    say '' && say '== T1 noise-free, against git'
    [ -z "$UBOOT" ] || t1_repository "$UBOOT" v2024.07..v2025.01 uboot v2016.01..HEAD
    [ -z "$GITGIT" ] || t1_repository "$GITGIT" v2.40.0..v2.43.0 git v1.6.0..HEAD
    sim line1024 1000 --p-bad 1 --p-good 0 "${BARE[@]}"
    check 'T1 line1024: steps over log2 N' "$(calc "$(get test_runs) - 10")" '<=' 0.05
}

# burnashev N BAD GOOD ERROR CAPACITY
burnashev() {
    awk -v n="$1" -v b="$2" -v g="$3" -v d="$4" -v c="$5" '
        function part(p, q) { return p > 0 ? p * log(p / q) / log(2) : 0 }
        function apart(p, q) { return part(p, q) + part(1 - p, 1 - q) }
        BEGIN {
            x = apart(g, b)
            if (g > 0 && apart(b, g) > x) x = apart(b, g)
            if (g == 0) x = 1e300
            print log(n) / log(2) / c + log(1 / d) / log(2) / x
        }'
}

# t2_cell GRAPH BAD GOOD CONFIDENCE ACCURACY RATIO SEEDS
t2_cell() {
    local figure ratio
    sim "$1" "$7" --p-bad "$2" --p-good "$3" "${BARE[@]}" --confidence "$4"
    figure=$(burnashev "$(get commits)" "$2" "$3" "$(calc "1 - $4")" "$(get capacity_bits)")
    ratio=$(calc "$(get test_runs) / $figure")
    RATIOS+=" $ratio"
    JOBS=$(calc "$JOBS + $(get repeat)")
    RIGHT=$(calc "$RIGHT + $(get repeat) * $(get right)")
    SURE=$(calc "$SURE + $(get repeat) * $(get confidence)")
    check "T2 $1 $2/$3 at $4: right, of $(get repeat)" "$(get right)" '>=' "$5"
    check "T2 $1 $2/$3 at $4: $(printf '%.1f' "$(get test_runs)") runs over Burnashev's" "$ratio" '<=' "$6"
}

t2() {
    local graph rates level accuracy most mean vote count
    JOBS=0 RIGHT=0 SURE=0
    for level in 0.99 0.999; do
        say '' && say "== T2 known rates, confidence $level"
        accuracy=0.985 most=1.12 mean=1.08
        [ "$level" = 0.99 ] || accuracy=0.997 most=1.27 mean=1.18
        RATIOS=
        for graph in "${GRAPHS[@]}"; do
            for rates in "${RATES[@]}"; do
                count=2000
                [[ $graph == line* ]] || count=1500
                [[ $graph == line* || $rates != "0.2 0.05" ]] || count=800
                t2_cell "$graph" ${rates% *} ${rates#* } "$level" "$accuracy" "$most" "$count"
            done
        done
        check "T2 mean of the cells at $level, runs over Burnashev's" \
            "$(awk '{ for (i = 1; i <= NF; i++) s += $i; print s / NF }' <<<"$RATIOS")" '<=' "$mean"
    done
    check "T3 confidence less accuracy in points, $JOBS jobs" \
        "$(calc "($SURE - $RIGHT) / $JOBS * 100" | tr -d -)" '<=' 1
    say '' && say "== T2 what people do today: right and runs, the first $(seeds 200) of the same seeds"
    for graph in "${GRAPHS[@]}"; do
        for rates in "${RATES[@]}"; do
            printf '%-30s' "$graph ${rates/ //}"
            for vote in majority:1 majority:5 any:10; do
                sim "$graph" 200 --p-bad "${rates% *}" --p-good "${rates#* }" "${BARE[@]}" --votes "$vote"
                printf '  %s %5.1f%% /%6.1f' "$vote" "$(calc "$(get right) * 100")" "$(get test_runs)"
            done
            say ''
        done
    done
}

t5() {
    local k limit
    say '' && say '== T5 batches: rounds at 0.99'
    for k in '2 9.6 32' '4 6.7 19' '8 5.1 12'; do
        read -r k limit noisy <<<"$k"
        sim line16384 400 --p-bad 1 --p-good 0 "${BARE[@]}" --confidence 0.99 --workers "$k"
        check "T5 line16384 1/0, $k workers" "$(get rounds)" '<=' "$limit"
        sim line16384 250 --p-bad 0.5 --p-good 0.01 "${BARE[@]}" --confidence 0.99 --workers "$k"
        check "T5 line16384 0.5/0.01, $k workers" "$(get rounds)" '<=' "$noisy"
    done
}

t6() {
    local k limit
    say '' && say '== T6 workers that end at different times: makespan in mean runs at 0.99'
    for k in '2 23' '4 13.5' '8 8.3'; do
        read -r k limit <<<"$k"
        sim line1024 800 --p-bad 0.5 --p-good 0.01 "${BARE[@]}" --confidence 0.99 --workers "$k" --time-sigma 1
        check "T6 line1024 0.5/0.01, $k workers" "$(get rounds)" '<=' "$limit"
    done
}

t7() {
    local rates even
    say '' && say '== T7 priors: nine tenths of the mass on a tenth of the commits'
    for rates in '0.9 0.01' '0.5 0.01' '0.2 0.01'; do
        set -- $rates
        sim line1024 1500 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99
        even=$(get test_runs)
        sim line1024 1500 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99 --hint right
        check "T7 $1/$2 right prior: runs over those without" "$(calc "$(get test_runs) / $even")" '<=' 0.85
        sim line1024 1500 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99 --hint useless
        check "T7 $1/$2 useless prior: runs over those without" "$(calc "$(get test_runs) / $even")" '<=' 1.15
        sim line1024 1500 --p-bad "$1" --p-good "$2" --confidence 0.99 --hint useless
        check "T7 $1/$2 useless prior: right after verification" "$(get right)" '>=' 0.99
    done
}

t8() {
    local row known
    say '' && say '== T8 unknown rates, up to 20 runs of the tip first, which are not counted'
    for row in '0.9 0.01 1.1' '0.5 0.01 1.35' '0.2 0.01 1.6'; do
        set -- $row
        sim line1024 1500 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99
        known=$(get test_runs)
        sim line1024 1500 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99 --rates unknown --calibration 20
        check "T8 $1/$2: runs over those with known rates" \
            "$(calc "($(get test_runs) - $(get calibration_runs)) / $known")" '<=' "$3"
        check "T8 $1/$2: right" "$(get right)" '>=' 0.99
    done
}

t9() {
    local row known
    say '' && say '== T9 every revision has its own rate'
    for row in '0.5 0.01 1.15' '0.2 0.01 1.75'; do
        set -- $row
        sim line1024 2000 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99
        known=$(get test_runs)
        for k in 20 4; do
            sim line1024 2000 --p-bad "$1" --p-good "$2" --none-prior 0 --verify off --confidence 0.99 --dispersion 20 --vary "$k"
            if [ "$k" = 20 ]; then
                check "T9 $1/$2 concentration 20: right" "$(get right)" '>=' 0.985
                check "T9 $1/$2 concentration 20: runs over those of equal rates" "$(calc "$(get test_runs) / $known")" '<=' "$3"
            else
                printf '%-58s %10.5g, %.1f runs\n' "T9 $1/$2 concentration 4, modelled as 20: right" "$(get right)" "$(get test_runs)"
            fi
        done
    done
}

t10() {
    local row greedy
    say '' && say '== T10 a build costs 10 runs'
    for row in '0.5 0.01 0.65' '0.2 0.01 0.48'; do
        set -- $row
        sim line1024 1000 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99 --build-charged 10
        greedy=$(get cost)
        sim line1024 1000 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99 --build-charged 10 --build-cost 10
        check "T10 $1/$2: cost over that of one-run greedy" "$(calc "$(get cost) / $greedy")" '<=' "$3"
    done
}

t11() {
    say '' && say '== T11 a fifth of the revisions in one stretch cannot be tested'
    sim line1024 2000 --p-bad 1 --p-good 0 "${BARE[@]}" --confidence 0.99 --case broken
    check 'T11 line1024: tests' "$(get test_runs)" '<=' 22
    check 'T11 line1024: most tests' "$(get test_runs_max)" '<=' 55
    check 'T11 line1024: set over the smallest possible' "$(calc "$(get set_size) - $(get smallest_set)")" '<=' 3
    check 'T11 line1024: right' "$(get right)" '>=' 1
    sim line1024 1000 --p-bad 1 --p-good 0 "${BARE[@]}" --confidence 0.99 --skip-rate 0.2
    printf '%-58s %10.5g tests, %.4g right\n' 'T11 a fifth scattered' "$(get test_runs)" "$(get right)"
}

t12() {
    local row
    say '' && say '== T12 a shift of the mean'
    for row in '1 80 0.99' '0.5 320 0.985'; do
        set -- $row
        sim line1024 2000 --metric-shift "$1" "${BARE[@]}" --confidence 0.99
        check "T12 $1 standard deviations: samples" "$(get test_runs)" '<=' "$2"
        check "T12 $1 standard deviations: right" "$(get right)" '>=' "$3"
    done
}

# case_row GRAPH CASE BAD GOOD OPTIONS...
case_row() {
    local graph=$1 name=$2 bad=$3 good=$4
    shift 4
    sim "$graph" "$CASE_SEEDS" --p-bad "$bad" --p-good "$good" "$@"
    VERIFIED=$((VERIFIED + $(get repeat)))
    WRONG=$((WRONG + $(get wrong_names)))
    check "7 $graph $bad/$good $name: right, $(printf '%.0f' "$(get test_runs)") runs" "$(get right)" '>=' "$LEAST"
    check "7 $graph $bad/$good $name: wrong names of $(get repeat)" "$(get wrong_names)" '<=' 0
}

cases() {
    local graph name rates
    say '' && say '== 7 no culprit, several, hidden ones: with verification, at 0.995'
    VERIFIED=0 WRONG=0 CASE_SEEDS=500 LEAST=0.995
    for rates in '0.9 0.02' '0.9 0.1' '0.5 0.02' '0.5 0.1' '0.3 0.02'; do
        case_row line1024 none $rates --culprit none
        [ -z "$GITGIT" ] || case_row git none $rates --culprit none
    done
    LEAST=0.98
    for rates in '1 0' '0.9 0.01' '0.5 0.01'; do
        # A wrong name is likeliest where a run tells least.
        [ "$rates" != '0.5 0.01' ] || CASE_SEEDS=2500
        for name in two refixed half-hidden in-broken merge; do
            [ "$name" = merge ] || case_row line1024 "$name" $rates --case "$name"
            [ -z "$GITGIT" ] || case_row git "$name" $rates --case "$name"
        done
    done
    check "7 wrong names of all $VERIFIED jobs" "$WRONG" '<=' 0
    sim line1024 60 --p-bad 0.9 --p-good 0.02 --culprit none --rates unknown
    check "7 line1024 none, 2 % flakes, unknown rates: right, $(printf '%.0f' "$(get test_runs)") runs" "$(get right)" '>=' 0.995
}

# planned GRAPH KEY OPTIONS...: the least of five, as other work on the machine only adds.
planned() {
    local graph=$1 key=$2
    shift 2
    for _ in 1 2 3 4 5; do
        SUMMARY=$("$FIRSTBAD" plan --dag "$STATE/$graph" --p-bad 0.5 --p-good 0.01 --json "$@")
        get "$key"
    done | sort -g | head -n 1
}

t13() {
    local row
    say '' && say '== T13 planner: least of five, milliseconds and MiB'
    for row in 'uboot-large 60 10 64' 'git-large 600 60 400'; do
        set -- $row
        [ -s "$STATE/$1" ] || continue
        check "T13 $1 ($(shape "$1")): prepare" "$(planned "$1" prepare_ms)" '<=' "$2"
        check "T13 $1: step" "$(planned "$1" plan_ms)" '<=' "$3"
        check "T13 $1: peak memory" "$(planned "$1" peak_mib)" '<=' "$4"
    done
    [ ! -s "$STATE/uboot-large" ] ||
        check 'T14 uboot-large: all 8 picks' "$(planned uboot-large plan_ms --workers 8)" '<=' 250
}

# least_equal OURS THEIRS N: theirs less two standard errors of the difference.
least_equal() {
    awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { p = (a + b) / 2; printf "%.6g", b - 2 * sqrt(2 * p * (1 - p) / n) }'
}

bayesect() {
    local rates theirs right runs endless python=$STATE/venv/bin/python
    say '' && say '== git_bayesect and an outside checker'
    if ! "$python" -c 'import git_bayesect' 2>"$STATE/pip.log"; then
        python3 -m venv "$STATE/venv" >"$STATE/pip.log" 2>&1 || true
        if ! "$STATE/venv/bin/pip" install --quiet git_bayesect==1.2 >>"$STATE/pip.log" 2>&1; then
            say "git_bayesect cannot be installed: $(tail -n 1 "$STATE/pip.log")"
            return
        fi
    fi
    for rates in '0.9 0.01' '0.5 0.01'; do
        set -- $rates
        theirs=$("$python" "$ROOT/scripts/bench-search.py" bayesect "$FIRSTBAD" "$STATE/line1024" "$1" "$2" "$(seeds 500)") || theirs=
        read -r right runs endless <<<"$theirs"
        if [ -z "$runs" ]; then
            check "git_bayesect line1024 $1/$2: it ran" 0 '>=' 1
            continue
        fi
        sim line1024 500 --p-bad "$1" --p-good "$2" "${BARE[@]}" --confidence 0.99 --rates unknown
        printf '%-58s %10.5g right, %.1f runs, %d without an end left out\n' \
            "git_bayesect line1024 $1/$2, the same commits" "$right" "$runs" "$endless"
        check "rates unknown to both, tip runs counted: $(printf '%.1f' "$(get test_runs)") runs over its" \
            "$(calc "$(get test_runs) / $runs")" '<=' 1
        check "and right, of $(get repeat): not below its by two standard errors" "$(get right)" '>=' \
            "$(least_equal "$(get right)" "$right" "$(get repeat)")"
    done
    for graph in "${GRAPHS[@]}"; do
        [ "$graph" != line16384 ] || continue
        read -r error gain jobs <<<"$("$python" "$ROOT/scripts/bench-search.py" check "$FIRSTBAD" "$STATE/$graph" 0.5 0.01 6)"
        check "T3 $graph: confidence less the posterior, $jobs jobs" "$error" '<=' 1e-9
        check "T4 $graph: least share of the best gain" "$gain" '>=' 0.999
    done
}

BEGAN=$SECONDS
repositories
for graph in "${GRAPHS[@]}"; do say "$graph: $(shape "$graph")"; done
say "seeds count up from 1; scale $SCALE"
for part in $ONLY; do
    PART_BEGAN=$SECONDS
    case $part in
    T1) t1 ;; T2) t2 ;; T5) t5 ;; T6) t6 ;; T7) t7 ;; T8) t8 ;; T9) t9 ;; T10) t10 ;;
    T11) t11 ;; T12) t12 ;; CASES) cases ;; T13) t13 ;; BAYESECT) bayesect ;;
    *) say "no part is called $part" && exit 64 ;;
    esac
    say "$part took $((SECONDS - PART_BEGAN)) s"
done
say '' && say "$CHECKED targets, $FAILED not met, $((SECONDS - BEGAN)) s"
[ "$FAILED" -eq 0 ]
