# Helpers of the container cases; sourced, not run.
set -eu
DEV=/dev/ram0
STORE=/mnt/store
LIB=${0%/*}/lib
export XDG_RUNTIME_DIR=/run

fail() { echo "FAIL: $*"; exit 1; }

# Numbers below $1 that depend on the seed alone.
STATE=$(( (FIRSTBAD_SEED % 100000) * 7919 + 12345 ))
below() {
    STATE=$(( (STATE * 1103515245 + 12345) % 2147483648 ))
    R=$(( (STATE / 65536) % $1 ))
}

on_exit() {
    code=$?
    [ "$code" -lt 125 ] || { echo "a command ended with $code"; code=1; }
    exit "$code"
}
trap on_exit EXIT

# A file system of type $1 (btrfs unless said otherwise) with an image of busybox on it.
store_up() {
    fs=${1:-btrfs}
    force=-f
    [ "$fs" = btrfs ] || force=-F
    dmesg -c >/dev/null
    "mkfs.$fs" -q "$force" "$DEV" >/tmp/mkfs.log 2>&1 || { cat /tmp/mkfs.log; fail mkfs; }
    mkdir -p "$STORE"
    mount -t "$fs" "$DEV" "$STORE"
    lower=$STORE/image
    mkdir -p "$lower/bin" "$lower/proc" "$lower/sys" "$lower/dev" "$lower/tmp" "$lower/etc"
    cp /bin/busybox "$lower/bin/busybox"
    for applet in sh echo cat ls sleep ps hostname id mkdir rm mv touch dd true false kill wc sync; do
        ln -s busybox "$lower/bin/$applet"
    done
    echo image >"$lower/etc/origin"
}

# Makes the bundle of container $1 that runs the shell command $2.
# PIDS and MEMORY (bytes) set its limits.
bundle() {
    dir=$STORE/c/$1
    mkdir -p "$dir/upper" "$dir/work" "$dir/rootfs"
    mount -t overlay overlay -o "lowerdir=$STORE/image,upperdir=$dir/upper,workdir=$dir/work" "$dir/rootfs"
    command=$(printf '%s' "$2" | sed 's/[\\"&|]/\\&/g; s/\\"/\\\\"/g')
    sed -e "s|@ID@|$1|g" -e "s|@COMMAND@|$command|" \
        -e "s|@PIDS@|${PIDS:-64}|" -e "s|@MEMORY@|${MEMORY:-67108864}|" \
        "$LIB/config.json" >"$dir/config.json"
}

# Takes the bundle of container $1 away again.
unbundle() { umount "$STORE/c/$1/rootfs"; }

crun() { command crun --cgroup-manager=cgroupfs "$@"; }

# Waits until container $1 is in state $2.
await() {
    tries=0
    until crun state "$1" 2>/dev/null | grep -q "\"status\": \"$2\""; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { crun state "$1" || true; fail "$1 is not $2"; }
        sleep 0.05
    done
}

# The end of every case: everything is gone and the kernel has not complained.
store_down() {
    umount "$STORE" || fail "the store is busy"
    if grep -E "overlay|$STORE" /proc/mounts; then fail "a mount is left"; fi
    [ ! -d /sys/fs/cgroup/firstbad ] || [ -z "$(find /sys/fs/cgroup/firstbad -mindepth 1 -type d)" ] || {
        find /sys/fs/cgroup/firstbad -type d
        fail "a cgroup is left"
    }
    if [ -d /sys/fs/cgroup/firstbad ]; then rmdir /sys/fs/cgroup/firstbad; fi
    [ -z "$(ls /run/crun 2>/dev/null)" ] || fail "the runtime still knows $(ls /run/crun)"
    if ps -o comm | grep -x 'crun\|sleep'; then fail "a process is left"; fi
    # Only what tells of something left: other complaints are for whoever reads the console.
    dmesg >/tmp/dmesg.log
    if grep -E 'Busy inodes|still in use|BTRFS (error|critical)|EXT4-fs error' /tmp/dmesg.log; then
        fail "the kernel says that something is left"
    fi
}
