#!/bin/bash
# One whole bisection of the short planted history: real builds, real boots, a
# state directory of its own. In the middle of it the worker is killed during a
# build and during a run, and so are the server and Postgres, all with SIGKILL.
# Ends with 0 only if the planted commit is named and nothing finished was redone.
#
# DRILL=0: nobody is killed
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/scenario.sh"

DATA=$STATE/test-data
PLANT=$STATE/test-demo
UPLOG=$STATE/log/up-test-data.log
DRILLED=$STATE/log/drill.log
rm -rf "$DATA"
: >"$DRILLED"

# wait_for PATTERN: until a worker does what matches, such as "build build".
wait_for() {
    until "$FIRSTBAD" workers 2>/dev/null | grep -q ": $1"; do
        sleep 0.3
    done
}

# kill_child NAME: the newest child of the supervisor with this name.
kill_child() {
    local pid
    pid=$(sed -n "s/^$1 started, pid //p" "$UPLOG" | tail -n 1)
    kill -KILL "$pid"
    echo "killed the $1 ($2)" | tee -a "$DRILLED"
    until [ "$(sed -n "s/^$1 started, pid //p" "$UPLOG" | tail -n 1)" != "$pid" ]; do
        sleep 0.3
    done
}

kill_postgres() {
    kill -KILL "$(head -n 1 "$DATA/postgres/data/postmaster.pid")"
    echo "killed Postgres ($1)" | tee -a "$DRILLED"
}

drill() {
    wait_for 'build build'
    sleep 5
    kill_child worker 'during a build'
    wait_for 'build \(source\|configure\)'
    wait_for 'build build'
    sleep 5
    kill_child server 'during a build'
    wait_for 'test \(boot\|test\)'
    kill_child worker 'during a run'
    sleep 3
    wait_for '\(build build\|test test\)'
    kill_postgres 'during an attempt'
}

# A stage that ended well belongs to the result of its attempt: only what a dead
# worker had not finished may have been done again. Sources and configuration are
# put back for a new lease; that is not the work.
nothing_twice() {
    local twice
    twice=$("$FIRSTBAD" attempts "$JOB" --stages |
        awk '$5 == "ok" && $4 ~ /^(build|boot|test)$/ { n[$1 " " $4]++ }
             END { for (k in n) if (n[k] > 1) print "attempt " k " ended well " n[k] " times" }')
    if [ -n "$twice" ]; then
        printf 'finished work was done again:\n%s\n' "$twice" >&2
        return 1
    fi
}

# The first run of a worker is made twice, here on a real machine, and was the same.
runs_are_exact() {
    "$FIRSTBAD" jobs "$JOB" |
        awk '/^run again / { all = $3 + 0; same = $4 + 0 } END { exit !(all > 0 && same == all) }' ||
        die 'an exact run was not run again, or was not the same'
}

# The same range and another suite: both ends pass, and every kernel is there already.
nothing_built_again() {
    local first=$JOB built code=0
    built=$("$FIRSTBAD" attempts "$first" | awk '$2 == "build" { print $1 }' | sort)
    scenario_submit "${RANGE[@]}" --title 'test: another suite' --suite btrfs/smoke --runs 1
    "$FIRSTBAD" watch "$JOB" || code=$?
    [ "$code" -eq 1 ] || die "the other suite should end with 1, not reproduced; it ended with $code"
    "$FIRSTBAD" attempts "$JOB" | awk '$2 == "build" { print $1 }' | sort | comm -13 <(echo "$built") - |
        grep . && die 'another suite built these attempts again'
    JOB=$first
}

# What is known of a job: result, report, attempts and the first log.
everything() {
    local attempt
    "$FIRSTBAD" jobs "$JOB"
    "$FIRSTBAD" report "$JOB"
    "$FIRSTBAD" attempts "$JOB"
    for attempt in $("$FIRSTBAD" attempts "$JOB" | awk '$2 == "build" || $2 == "test" { print $1 }'); do
        "$FIRSTBAD" log "$attempt" | sha256sum
    done
}

# Nothing of a result is with the worker.
worker_state_not_needed() {
    local before after
    before=$(everything)
    up_stop
    # Out of reach at once; a removal would take minutes.
    mv "$DATA/worker" "$DATA/gone"
    up_start "$DATA" --no-worker
    after=$(everything)
    [ "$before" = "$after" ] || {
        diff <(echo "$before") <(echo "$after") >&2
        die 'without the state of the worker the job is told differently'
    }
    echo "without the state of the worker: all $(wc -l <<<"$after") lines are the same"
}

DRILL_PID=
finish() {
    if [ -n "$DRILL_PID" ]; then
        kill "$DRILL_PID" 2>/dev/null || true
    fi
    up_stop
}
trap finish EXIT

# One more scenario than needed: the planter has no way to plant the short one alone.
step 'plant the short history' "$DEMO" plant --source "$SOURCE" --dir "$PLANT" \
    --culprit direct-io --short
ccache_given "$DATA" "$STATE/ccache" # of the tests' kernel
up_start "$DATA" --jobs 1
step 'mirror the tree' tree_ready linux-demo "$PLANT/linux-demo.git"
scenario_read "$PLANT/plan.json" short
scenario_submit "${RANGE[@]}" "${SIGNAL[@]}" --title 'test: short history'
if [ "${DRILL:-1}" = 1 ]; then
    drill &
    DRILL_PID=$!
fi
scenario_watch
"$FIRSTBAD" attempts "$JOB"
scenario_check
nothing_twice
runs_are_exact
if [ "${DRILL:-1}" = 1 ]; then
    [ "$(wc -l <"$DRILLED")" -eq 4 ] || die 'the drill did not kill all four; the job was too quick'
fi
nothing_built_again
worker_state_not_needed
echo "the planted commit was named: $SUBJECT"
