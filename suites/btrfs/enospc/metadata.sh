. "${0%/*}/small.sh"
small_up 128M
fbtool create-files "$MNT/many" "$SEED" 60000 3000 || fail "creating files"
n=$(ls "$MNT/many" | wc -l)
[ "$n" -ge 5000 ] || fail "full after $n small files"
remount
[ "$(ls "$MNT/many" | wc -l)" -eq "$n" ] || fail "files lost"
fbtool verify-files "$MNT/many" "$SEED" "$n" 3000
rm -r "$MNT/many" || fail "removal on a full file system"
sync
fbtool pattern-write "$MNT/after" "$((SEED + 1))" 10000000
small_down
