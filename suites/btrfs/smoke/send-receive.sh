. "${0%/*}/lib/btrfs.sh"
fresh "$DEV"
attach
btrfs subvolume create "$MNT/s" >/dev/null
mkdir "$MNT/r" "$MNT/s/dir"
fbtool pattern-write "$MNT/s/dir/data" "$SEED" 1000000
echo one >"$MNT/s/one"
btrfs subvolume snapshot -r "$MNT/s" "$MNT/s1" >/dev/null
fbtool pattern-write "$MNT/s/dir/data" "$((SEED + 1))" 700000
mv "$MNT/s/one" "$MNT/s/dir/uno"
echo two >"$MNT/s/two"
btrfs subvolume snapshot -r "$MNT/s" "$MNT/s2" >/dev/null
btrfs send -q -f /tmp/full "$MNT/s1"
btrfs send -q -p "$MNT/s1" -f /tmp/delta "$MNT/s2"
btrfs receive -q -f /tmp/full "$MNT/r"
btrfs receive -q -f /tmp/delta "$MNT/r"
remount
fbtool pattern-verify "$MNT/r/s1/dir/data" "$SEED" 1000000
fbtool pattern-verify "$MNT/r/s2/dir/data" "$((SEED + 1))" 700000
[ "$(cat "$MNT/r/s2/dir/uno")" = one ] || fail "the renamed file differs"
[ "$(cat "$MNT/r/s2/two")" = two ] || fail "the new file differs"
[ ! -e "$MNT/r/s2/one" ] || fail "the old name is still there"
diff -r "$MNT/s2" "$MNT/r/s2" || fail "the copy differs"
detach
offline
