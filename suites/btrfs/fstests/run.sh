# One test of fstests: the case's name, such as generic/001. Both file systems are new, so that
# no test depends on those before it. The times and dates that fstests prints are the guest's.
test=$FIRSTBAD_CASE
out=/tmp/fstests.out

skip() { echo "::skip $*"; exit 125; }

# What the tests find on a Debian system and the guest does not have.
prepare() {
    ln -sf gawk /bin/awk
    ln -sf /bin/perl /usr/bin/perl
    ln -sf /proc/self/mounts /etc/mtab
    hostname firstbad
    for user in fsgqa:1000 fsgqa2:1001 123456-fsgqa:1002 daemon:1 bin:2; do
        echo "${user%:*}:x:${user#*:}:${user#*:}::/tmp:/bin/bash" >>/etc/passwd
        echo "${user%:*}:x:${user#*:}:" >>/etc/group
    done
    mkdir -p /mnt/test /mnt/scratch /root /run
    : >/run/fstests
}

[ -x /fstests/check ] || skip "there is no fstests; a job names it, run-suite takes --fstests"
[ -f "/fstests/tests/$test" ] || skip "this fstests has no $test"
[ -f /run/fstests ] || prepare

export FSTYP=btrfs RESULT_BASE=/tmp/fstests DIFF_LENGTH=30
export TEST_DEV=/dev/ram0 TEST_DIR=/mnt/test SCRATCH_MNT=/mnt/scratch
# The first one is SCRATCH_DEV.
export SCRATCH_DEV_POOL="/dev/ram1 /dev/ram2 /dev/ram3 /dev/ram4 /dev/ram5"
export LOGWRITES_DEV=/dev/ram6
rm -rf "$RESULT_BASE"
# Where a RAM disk can, it gives back what the test before has written.
for disk in "$TEST_DEV" $SCRATCH_DEV_POOL "$LOGWRITES_DEV"; do blkdiscard -q "$disk" 2>/dev/null; done
mkfs.btrfs -q -f "$TEST_DEV" >$out 2>&1 || { cat $out; exit 1; }

# A long test says nothing: that is no machine that hangs.
(
    trap 'kill $!; exit' TERM
    while :; do
        sleep 2 &
        wait $!
        echo "fstests: $test is running" >/dev/console
    done
) &
alive=$!
cd /fstests || exit 126
bash ./check "$test" >$out 2>&1
code=$?
kill $alive
wait $alive
for at in "$SCRATCH_MNT" "$TEST_DIR"; do
    if grep -q " $at " /proc/mounts; then umount "$at"; fi
done

# From the test's own line on; before it check tells what it runs on, after it what it ran.
sed -n "\|^$test |,/^Ran: /p" $out | grep -v '^Ran: '
if [ -f "$RESULT_BASE/$test.notrun" ]; then
    skip "was not run: $(head -n 1 "$RESULT_BASE/$test.notrun")"
elif [ $code = 0 ] && grep -q '^Passed all 1 tests' $out; then
    exit 0
elif grep -q "^Failures: $test" $out; then
    exit 1
fi
# It ended before the test did. That the file system cannot be made or mounted is the kernel's doing.
cat $out
if grep -qE 'failed to (mkfs|mount)|cannot mount|_check_btrfs_filesystem: filesystem on .* is inconsistent' $out; then exit 1; fi
exit 255
