. "${0%/*}/small.sh"
small_up
fbtool pattern-write "$MNT/a" "$((SEED + 1))" 60000000
btrfs subvolume snapshot -r "$MNT" "$MNT/frozen" >/dev/null
full filler
# With all old blocks shared and no room, an overwrite may fail but must not tear a block.
fbtool pattern-over "$MNT/a" "$((SEED + 2))" 60000000 || true
sync || true
remount
fbtool pattern-either "$MNT/a" "$((SEED + 1))" "$((SEED + 2))" 60000000
fbtool pattern-verify "$MNT/frozen/a" "$((SEED + 1))" 60000000
rm "$MNT/filler"
small_down
