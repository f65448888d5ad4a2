# Helpers of the direct-io cases; sourced, not run.
. "${0%/*}/lib/btrfs.sh"

# Writes FILE in MODE with OPS operations, then checks it from the medium.
exercise() {
    fbtool dio "$1" "$MNT/$2" "$SEED" "$3"
    remount
    fbtool dio-verify "$1" "$MNT/$2" "$SEED" "$3"
}
