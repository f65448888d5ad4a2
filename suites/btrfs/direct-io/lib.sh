# Helpers of the btrfs cases; sourced, not run.
set -eu
SEED=$FIRSTBAD_SEED
DEV=/dev/ram0
DEV2=/dev/ram1
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

# Writes FILE in MODE with OPS operations, then checks it from the medium.
exercise() {
    fbtool dio "$1" "$MNT/$2" "$SEED" "$3"
    remount
    fbtool dio-verify "$1" "$MNT/$2" "$SEED" "$3"
}
