. "${0%/*}/group.sh"
group few
echo 5 >"$TOP/few/pids.max"
# The shell and four make five; the shell ends when it cannot fork.
code=0
inside few sh -c 'for n in 1 2 3 4; do sleep 1000 & done; echo four >/tmp/four; sleep 1000 & echo five >/tmp/five' 2>/tmp/err || code=$?
[ -e /tmp/four ] || fail "five processes do not fit a limit of five"
[ ! -e /tmp/five ] || fail "six processes under a limit of five"
[ "$code" -ne 0 ] && grep -q 'fork' /tmp/err || { cat /tmp/err; fail "no fork was refused"; }
rm /tmp/four
[ "$(value few/pids.events max)" -ge 1 ] || fail "the refusal was not counted"
echo 1 >"$TOP/few/cgroup.kill"
wait
until_true grep -qx 0 "$TOP/few/pids.current"
# The limit of a parent holds its children together.
group parent
echo '+pids' >"$TOP/parent/cgroup.subtree_control"
group parent/a
group parent/b
echo 4 >"$TOP/parent/pids.max"
inside parent/a sh -c 'sleep 1001 & sleep 1001 & wait' &
until_true sh -c '[ "$(cat /sys/fs/cgroup/limits/parent/pids.current)" -eq 3 ]'
if inside parent/b sh -c 'sleep 0.01 & sleep 0.01 & wait' 2>/tmp/err; then
    grep -q fork /tmp/err || fail "six processes under a parent's limit of four"
fi
[ "$(cat "$TOP/parent/pids.peak" 2>/dev/null || echo 4)" -le 4 ] || fail "the peak is $(cat "$TOP/parent/pids.peak")"
