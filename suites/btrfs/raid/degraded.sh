. "${0%/*}/raid.sh"
fresh -b 256M -d raid1 -m raid1 "$DEV" "$DEV2"
attach
fill a
detach
lose "$DEV2"
if attach 2>/dev/null; then fail "mounted with a device missing, unasked"; fi
attach -o degraded
verify a
fill b
detach
attach -o degraded
verify a
verify b
# A new device takes the place of the missing one, which has the number 2.
btrfs replace start -B -f 2 "$DEV3" "$MNT"
btrfs filesystem show "$MNT" | grep -q "$DEV3" || fail "the new device is not part of it"
# What was written while degraded may have one copy only.
btrfs balance start -f -dconvert=raid1,soft -mconvert=raid1,soft "$MNT"
scrub none
detach
# Now the first device is not needed either.
lose "$DEV"
DEV=$DEV3
attach -o degraded
verify a
verify b
detach
