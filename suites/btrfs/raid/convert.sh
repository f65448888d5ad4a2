. "${0%/*}/raid.sh"
fresh -b 256M -d single -m single "$DEV"
attach
fill a
btrfs device add -f "$DEV2" "$DEV3" "$DEV4" "$MNT"
for profile in raid1 raid10 raid1c3 raid0; do
    btrfs balance start -f -dconvert=$profile -mconvert=$profile "$MNT" || fail "to $profile"
    btrfs filesystem df "$MNT" | grep -i "Data, $profile:" || fail "the data are not $profile"
    fill "$profile"
    remount
    verify a
    verify "$profile"
done
btrfs balance start -f -dconvert=single -mconvert=dup "$MNT"
btrfs device remove "$DEV3" "$DEV4" "$DEV2" "$MNT"
remount
verify a
verify raid10
scrub none
detach
offline
