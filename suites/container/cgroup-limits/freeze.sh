. "${0%/*}/group.sh"
group cold
inside cold sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/tmp/count; usleep 1000; done' &
until_true test -s /tmp/count
echo 1 >"$TOP/cold/cgroup.freeze"
until_true grep -q 'frozen 1' "$TOP/cold/cgroup.events"
before=$(cat /tmp/count)
usleep 300000
[ "$(cat /tmp/count)" = "$before" ] || fail "a frozen process went on"
echo 0 >"$TOP/cold/cgroup.freeze"
until_true sh -c '[ "$(cat /tmp/count)" != "'"$before"'" ]'
grep -q 'frozen 0' "$TOP/cold/cgroup.events" || fail "thawed, but not said so"
# Frozen again, moved in while frozen, and killed while frozen.
echo 1 >"$TOP/cold/cgroup.freeze"
until_true grep -q 'frozen 1' "$TOP/cold/cgroup.events"
# It may go on once it has been moved, so that a slow move is no failure.
sh -c 'until [ -e /tmp/go ]; do usleep 1000; done; echo moved >/tmp/moved; sleep 1000' &
moved=$!
echo "$moved" >"$TOP/cold/cgroup.procs"
touch /tmp/go
usleep 200000
[ ! -e /tmp/moved ] || fail "a process moved into a frozen group went on"
echo 1 >"$TOP/cold/cgroup.kill"
wait || true
[ -z "$(cat "$TOP/cold/cgroup.procs")" ] || fail "killed while frozen, still there"
rm -f /tmp/count /tmp/go /tmp/moved
