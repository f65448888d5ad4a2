. "${0%/*}/lib/container.sh"
store_up
bundle one 'echo ready >/tmp/ready; sleep 1000'
crun run -d -b "$STORE/c/one" one </dev/null >/dev/null 2>&1
await one running
[ "$(crun exec one hostname)" = one ] || fail "wrong host name"
[ "$(crun exec one cat /tmp/ready)" = ready ] || fail "the container's files are not seen"
crun exec one sh -c 'ps' >/tmp/out
grep -q 'sleep 1000' /tmp/out || { cat /tmp/out; fail "the container's processes are not seen"; }
code=0
crun exec one sh -c 'exit 9' || code=$?
[ "$code" -eq 9 ] || fail "exit code $code, not 9"
i=0
while [ "$i" -lt 5 ]; do
    crun exec one sh -c "echo $i >/exec$i"
    [ "$(cat "$STORE/c/one/upper/exec$i")" = "$i" ] || fail "the file of exec $i is wrong"
    i=$((i + 1))
done
crun delete -f one
unbundle one
store_down
