. "${0%/*}/lib/btrfs.sh"
fresh "$DEV"
attach
btrfs subvolume create "$MNT/origin" >/dev/null
fbtool pattern-write "$MNT/origin/data" "$SEED" 2000000
btrfs subvolume snapshot "$MNT/origin" "$MNT/copy" >/dev/null
btrfs subvolume snapshot -r "$MNT/origin" "$MNT/frozen" >/dev/null
fbtool pattern-write "$MNT/origin/data" "$((SEED + 1))" 1500000
echo new >"$MNT/copy/new"
if touch "$MNT/frozen/x" 2>/dev/null; then fail "a read-only snapshot took a file"; fi
# The cleaner works after a commit: do not wait half a minute for one.
remount -o commit=1
fbtool pattern-verify "$MNT/origin/data" "$((SEED + 1))" 1500000
fbtool pattern-verify "$MNT/copy/data" "$SEED" 2000000
fbtool pattern-verify "$MNT/frozen/data" "$SEED" 2000000
[ ! -e "$MNT/origin/new" ] || fail "the copy's file appeared in the origin"
btrfs subvolume delete "$MNT/frozen" >/dev/null
btrfs subvolume delete "$MNT/origin" >/dev/null
sync
btrfs subvolume sync "$MNT" >/dev/null
fbtool pattern-verify "$MNT/copy/data" "$SEED" 2000000
detach
offline
