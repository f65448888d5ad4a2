. "${0%/*}/raid.sh"
fresh -b 256M -d raid1 -m raid1 "$DEV" "$DEV2"
attach
fbtool pattern-write "$MNT/a" "$SEED" 1000000
sync
detach
# Which copy a read takes depends on the reader: damage one, then the other.
for device in "$DEV" "$DEV2"; do
    fbtool corrupt-pattern "$device" "$SEED"
    attach
    n=0
    while [ "$n" -lt 8 ]; do
        ( fbtool pattern-verify "$MNT/a" "$SEED" 1000000 ) || fail "the damaged copy of $device was returned"
        echo 3 >/proc/sys/vm/drop_caches
        n=$((n + 1))
    done
    # The reads have repaired it: nothing is left for scrub.
    scrub none
    detach
done
offline
