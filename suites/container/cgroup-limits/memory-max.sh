. "${0%/*}/group.sh"
group small
group other
echo 16777216 >"$TOP/small/memory.max"
inside other sleep 1000 &
# Anonymous memory cannot be reclaimed: the process is killed.
code=0
inside small sh -c 'x=0123456789abcdef; while :; do x=$x$x; done' >/dev/null 2>&1 || code=$?
[ "$code" -eq 137 ] || fail "it ended with $code instead of a kill"
[ "$(value small/memory.events oom_kill)" -ge 1 ] || fail "the kill was not counted"
[ "$(value other/memory.events oom_kill)" -eq 0 ] || fail "a neighbour was killed"
[ "$(cat "$TOP/small/memory.peak")" -le 16777216 ] || fail "the peak is $(cat "$TOP/small/memory.peak")"
kill -0 "$!" || fail "the neighbour is gone"
# The page cache of a file larger than the limit is reclaimed, not killed for.
killed=$(value small/memory.events oom_kill)
mkdir -p /mnt/test
mke2fs -F /dev/ram0 65536 >/dev/null
mount -t ext4 /dev/ram0 /mnt/test
inside small dd if=/dev/zero of=/mnt/test/f bs=1M count=48 2>/dev/null || fail "a large file under a small limit"
inside small cat /mnt/test/f >/dev/null || fail "reading a large file under a small limit"
[ "$(cat "$TOP/small/memory.current")" -le 16777216 ] || fail "more is charged than allowed"
umount /mnt/test
[ "$(value small/memory.events oom_kill)" -eq "$killed" ] || fail "killed for page cache"
# Within the limit nothing happens.
inside small sh -c 'x=0123456789abcdef; i=0; while [ $i -lt 17 ]; do x=$x$x; i=$((i + 1)); done' || fail "2 MiB under a limit of 16 MiB"
# A lower limit at run time is enforced by reclaim at once.
echo 4194304 >"$TOP/small/memory.max"
[ "$(cat "$TOP/small/memory.current")" -le 4194304 ] || fail "a lower limit was not enforced"
