# Helpers of the enospc cases; sourced, not run.
. "${0%/*}/lib/btrfs.sh"

small_up() {
    dmesg -c >/dev/null
    fresh -b "${1:-200M}" "$DEV"
    attach
    fbtool pattern-write "$MNT/keep" "$SEED" 3000001
    sync
}

# Writes until nothing more fits; the error must be ENOSPC.
full() {
    if dd if=/dev/zero of="$MNT/$1" bs=256k count=4000 conv=fsync 2>/tmp/dd.log; then fail "1 GB fits"; fi
    grep -q 'No space left' /tmp/dd.log || { cat /tmp/dd.log; fail "another error than ENOSPC"; }
}

# The end of every case: what was there is there, and all of it is sound.
small_down() {
    quiet
    remount
    fbtool pattern-verify "$MNT/keep" "$SEED" 3000001
    detach
    quiet
    offline
}
