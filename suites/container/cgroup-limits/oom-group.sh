. "${0%/*}/group.sh"
group all
group other
echo 16777216 >"$TOP/all/memory.max"
echo 1 >"$TOP/all/memory.oom.group"
inside other sleep 1000 &
inside all sleep 1001 &
inside all sh -c 'sleep 1002 & sleep 1003 & wait' &
until_true sh -c '[ "$(cat /sys/fs/cgroup/limits/all/cgroup.procs | wc -l)" -eq 4 ]'
inside all sh -c 'x=0123456789abcdef; while :; do x=$x$x; done' >/dev/null 2>&1 || true
until_true sh -c '! ps -o args | grep -q "^sleep 100[1-3]"'
[ "$(value all/memory.events oom_group_kill)" -eq 1 ] || fail "the group's end was not counted"
ps -o args | grep -q '^sleep 1000' || fail "a neighbour was killed"
