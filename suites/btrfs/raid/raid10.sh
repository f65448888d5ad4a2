. "${0%/*}/raid.sh"
fresh -b 256M -d raid10 -m raid10 "$DEV" "$DEV2" "$DEV3" "$DEV4"
attach
fill a
btrfs filesystem df "$MNT" | grep -q 'Data, RAID10' || fail "the data are not on raid10"
detach
lose "$DEV3"
attach -o degraded
verify a
fill b
spare=/dev/ram4
btrfs replace start -B -f 3 "$spare" "$MNT"
btrfs balance start -f -dconvert=raid10,soft -mconvert=raid10,soft "$MNT"
scrub none
detach
lose "$DEV2"
attach -o degraded
verify a
verify b
detach
