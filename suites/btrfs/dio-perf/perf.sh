# Helpers of the dio-perf cases; sourced, not run.
. "${0%/*}/lib/btrfs.sh"
SMALL=8388608
LARGE=67108864

# `place FILE BYTES`: allocated in place, never written. `old FILE BYTES`: written once.
place() { fbtool nocow "$MNT/$1"; fallocate -l "$2" "$MNT/$1"; }
old() { [ -e "$MNT/$1" ] || : >"$MNT/$1"; fbtool dio-over "$MNT/$1" "$SEED" "$2"; }

# `speed KIND FILE BLOCK BYTES NAME`: each block once.
speed() { fbtool dio-perf "$1" "$MNT/$2" "$SEED" "$3" "$4" "$5"; }

up() { fresh "$DEV"; attach "$@"; }
down() { detach; offline; }
