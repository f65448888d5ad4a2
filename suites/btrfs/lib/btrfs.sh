# Helpers of the btrfs cases; sourced, not run.
set -eu
SEED=$FIRSTBAD_SEED
DEV=/dev/ram0
DEV2=/dev/ram1
DEV3=/dev/ram2
DEV4=/dev/ram3
MNT=/mnt/test
mkdir -p "$MNT"

fail() { echo "FAIL: $*"; exit 1; }

# A broken kernel must read as a failure, never as a script that could not run.
on_exit() {
    code=$?
    if grep -q " $MNT " /proc/mounts; then umount "$MNT" || code=1; fi
    [ "$code" -lt 125 ] || { echo "a command ended with $code"; code=1; }
    exit "$code"
}
trap on_exit EXIT

fresh() { mkfs.btrfs -q -f "$@" >/tmp/mkfs.log 2>&1 || { cat /tmp/mkfs.log; fail "mkfs.btrfs $*"; }; }
attach() { mount -t btrfs "$@" "$DEV" "$MNT"; }
detach() { umount "$MNT"; }
remount() { detach; attach "$@"; }
offline() { btrfs check "$DEV" >/tmp/check.log 2>&1 || { cat /tmp/check.log; fail "btrfs check"; }; }

# The kernel must not have complained of an error since the case began.
quiet() {
    dmesg >/tmp/dmesg.log
    if grep -E 'BTRFS (error|critical)|WARNING|BUG:' /tmp/dmesg.log; then fail "the kernel complains"; fi
}
