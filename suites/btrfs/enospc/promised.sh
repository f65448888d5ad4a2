. "${0%/*}/small.sh"
small_up
fbtool nocow "$MNT/place"
fallocate -l 16777216 "$MNT/place"
fallocate -l 8388608 "$MNT/cow"
sync
full filler
sync
# Both were promised their space before the file system was full.
fbtool pattern-over "$MNT/place" "$((SEED + 1))" 16777216 || fail "promised space is not there (in place)"
fbtool pattern-verify "$MNT/place" "$((SEED + 1))" 16777216
fbtool pattern-over "$MNT/cow" "$((SEED + 2))" 8388608 || fail "promised space is not there (first write)"
fbtool pattern-verify "$MNT/cow" "$((SEED + 2))" 8388608
fbtool dio-over "$MNT/place" "$((SEED + 3))" 16777216 || fail "promised space is not there (direct)"
fbtool pattern-verify "$MNT/place" "$((SEED + 3))" 16777216
rm "$MNT/filler"
small_down
