. "${0%/*}/small.sh"
small_up
full a
size=$(stat -c %s "$MNT/a")
[ "$size" -ge 100000000 ] || fail "full after $size bytes of 200 MB"
sync
# Removal must work on a full file system, and the space must come back.
rm "$MNT/a"
sync
full b
again=$(stat -c %s "$MNT/b")
[ "$again" -ge "$((size - 8000000))" ] || fail "$again bytes fit after a removal, $size before"
echo | dd of="$MNT/keep2" 2>/dev/null || true
rm -f "$MNT/b" "$MNT/keep2"
sync
fbtool pattern-write "$MNT/c" "$((SEED + 1))" 20000000
small_down
