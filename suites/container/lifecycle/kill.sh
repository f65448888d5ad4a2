. "${0%/*}/lib/container.sh"
store_up
bundle one 'trap "echo term >/got; exit 3" TERM; echo ready >/up; while :; do sleep 0.1; done'
crun run -d -b "$STORE/c/one" one </dev/null >/dev/null 2>&1
tries=0
until [ -e "$STORE/c/one/rootfs/up" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the container did not start"
    sleep 0.05
done
crun kill one TERM
await one stopped
[ "$(cat "$STORE/c/one/upper/got")" = term ] || fail "the signal did not arrive"
crun delete one
unbundle one
# The first process ignores TERM and has children; KILL takes all of them.
bundle two 'trap "" TERM; sleep 1001 & sleep 1002 & (sleep 1003 & sleep 1004) & sleep 1005'
crun run -d -b "$STORE/c/two" two </dev/null >/dev/null 2>&1
await two running
crun kill two TERM
sleep 0.2
await two running
crun kill two KILL
await two stopped
if ps | grep 'sleep 100[1-5]' | grep -v grep; then fail "children outlived their namespace"; fi
crun delete two
unbundle two
store_down
