# Helpers of the llm cases; sourced, not run.
set -eu
SEED=$FIRSTBAD_SEED
DEV=/dev/ram0
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

# Runs the function $1 on each file system; its metrics carry the name in $FS.
on_each() {
    for FS in btrfs ext4; do
        force=-f
        [ "$FS" = btrfs ] || force=-F
        "mkfs.$FS" -q "$force" "$DEV" >/tmp/mkfs.log 2>&1 || { cat /tmp/mkfs.log; fail "mkfs.$FS"; }
        mount -t "$FS" "$DEV" "$MNT"
        "$1"
        umount "$MNT"
    done
}

cold() { sync; echo 3 >/proc/sys/vm/drop_caches; }
again() { umount "$MNT"; mount -t "$FS" "$DEV" "$MNT"; }
