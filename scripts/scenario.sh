# One planted history from submission to check; sourced after lib.sh.
# shellcheck shell=bash

UP_PID=
# Of worker/src/sandbox.rs.
SANDBOX_UID=64738

# ccache_given DATA FROM: the worker of DATA need not compile what the cache FROM has. A worker's
# files are its sandbox's.
ccache_given() {
    local to=$1/worker/ccache from=$2
    mkdir -p "$to" "$from"
    cp -r "$from" "$to/linux-demo"
    [ "$(id -u)" -ne 0 ] || chown -R "$SANDBOX_UID:$SANDBOX_UID" "$to/linux-demo"
}

# up_start DATA OPTIONS...: server and worker in the background, ready for requests.
up_start() {
    local data=$1 port log=$STATE/log/up-${1##*/}.log tries
    shift
    mkdir -p "$data"
    port=$(free_port "${FIRSTBAD_PORT:-8610}")
    export FIRSTBAD_SERVER=http://127.0.0.1:$port FIRSTBAD_TOKEN_FILE=$data/token
    : >"$log"
    "$FIRSTBAD" up --data "$data" --listen "127.0.0.1:$port" "$@" >"$log" 2>&1 </dev/null &
    UP_PID=$!
    for ((tries = 0; tries < 600; tries++)); do
        if grep -q '^firstbad is at ' "$log"; then
            return 0
        fi
        if ! kill -0 "$UP_PID" 2>/dev/null; then
            break
        fi
        sleep 0.2
    done
    tail -n 40 "$log" >&2
    die 'the server did not start'
}

# up_stop: ends what up_start started and waits for it.
up_stop() {
    if [ -n "$UP_PID" ]; then
        kill -TERM "$UP_PID" 2>/dev/null || true
        wait "$UP_PID" 2>/dev/null || true
        UP_PID=
    fi
}

# tree_ready NAME PATH: mirrors the repository, or fetches what is new in it.
tree_ready() {
    if "$FIRSTBAD" tree list | grep -q "^$1 "; then
        "$FIRSTBAD" tree fetch "$1"
    else
        "$FIRSTBAD" tree add "$1" "$2"
    fi
}

# scenario_read PLAN NAME: fills RANGE and SIGNAL (arguments), EXPECT (lines as `jobs --answer`
# prints them, sorted) and SUBJECT.
scenario_read() {
    local scenario
    scenario=$(jq --arg name "$2" '.scenarios[] | select(.name == $name)' "$1")
    [ -n "$scenario" ] || die "the plan $1 has no scenario $2"
    mapfile -t RANGE < <(jq -r '"--tree", "linux-demo", "--good", .good, "--bad", .bad, "--find", .find' <<<"$scenario")
    mapfile -t SIGNAL < <(jq -r '"--suite", .suite, (.cases[] | "--case", .),
        (.signal | (.title // empty | "--crash", .), (.name // empty | "--metric", .),
            (.threshold // empty | "--threshold", .))' <<<"$scenario")
    SUBJECT=$(jq -r .subject <<<"$scenario")
    EXPECT=$(jq -r '.expect | "\(.outcome) \(.rev // .revs[])"' <<<"$scenario" | sort)
}

# scenario_submit ARGUMENTS...: sends the job, sets JOB.
scenario_submit() {
    local said
    said=$("$FIRSTBAD" submit "$@")
    printf '%s\n' "$said"
    JOB=${said#job }
    JOB=${JOB%%[!0-9]*}
    [ -n "$JOB" ] || die 'no job number in the answer'
}

# scenario_watch: follows JOB to its end, at most two hours; the job decides the result.
scenario_watch() {
    timeout --foreground 7200 "$FIRSTBAD" watch "$JOB" || true
}

# scenario_check: whether JOB ended with exactly what was planted.
scenario_check() {
    local answer
    answer=$("$FIRSTBAD" jobs "$JOB" --answer | sort)
    if [ "$answer" = "$EXPECT" ]; then
        return 0
    fi
    printf 'WRONG. Planted:\n%s\nAnswered:\n%s\n' "$EXPECT" "$answer" >&2
    return 1
}
