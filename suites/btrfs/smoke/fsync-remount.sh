. "${0%/*}/lib/btrfs.sh"
fresh -b 128M "$DEV"
attach
fbtool pattern-write "$MNT/a" "$SEED" 300000
sync
# pattern-write ends with fsync, so these go through the log tree.
fbtool pattern-write "$MNT/b" "$((SEED + 1))" 70000
mv "$MNT/b" "$MNT/c"
fbtool pattern-write "$MNT/a" "$((SEED + 2))" 123457
truncate -s 50000 "$MNT/c"
fbtool fsync "$MNT/c"
fbtool fsync "$MNT"
# The device as a power cut would leave it: its log is replayed at the next mount.
cut="$DEV2"
dd if="$DEV" of="$cut" bs=1M count=128 2>/dev/null
detach
dd if=/dev/zero of="$DEV" bs=1M count=1 2>/dev/null
DEV=$cut
attach
dmesg | grep -q 'start tree-log replay' || fail "the log was not replayed"
fbtool pattern-verify "$MNT/a" "$((SEED + 2))" 123457
fbtool pattern-verify "$MNT/c" "$((SEED + 1))" 50000
[ ! -e "$MNT/b" ] || fail "the old name is back"
detach
offline
