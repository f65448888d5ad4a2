. "${0%/*}/lib/btrfs.sh"
fresh "$DEV"
attach
fbtool pattern-write "$MNT/a" "$SEED" 8000000
fbtool pattern-write "$MNT/b" "$((SEED + 1))" 3000001
rm "$MNT/b"
fbtool pattern-write "$MNT/c" "$((SEED + 2))" 3000001
btrfs balance start --full-balance "$MNT"
btrfs device add -f "$DEV2" "$MNT"
btrfs balance start -dconvert=raid1 -mconvert=raid1 "$MNT"
btrfs balance start -f -dconvert=single -mconvert=single "$MNT"
btrfs device remove "$DEV2" "$MNT"
remount
fbtool pattern-verify "$MNT/a" "$SEED" 8000000
fbtool pattern-verify "$MNT/c" "$((SEED + 2))" 3000001
detach
offline
