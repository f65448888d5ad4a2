. "${0%/*}/raid.sh"
fresh -b 256M -d raid1 -m raid1 "$DEV" "$DEV2"
attach
fill a
mkdir "$MNT/many"
i=0
while [ "$i" -lt 200 ]; do echo "$i" >"$MNT/many/$i"; i=$((i + 1)); done
sync
detach
# Everything on one device but the two copies of its super block.
i=1
while [ "$i" -lt 63 ]; do fbtool corrupt "$DEV2" "$((i * 1048576))" 1048576 >/dev/null; i=$((i + 1)); done
i=66
while [ "$i" -lt 128 ]; do fbtool corrupt "$DEV2" "$((i * 1048576))" 1048576 >/dev/null; i=$((i + 1)); done
attach
scrub some
grep -q 'csum_errors: 0$' /tmp/scrub.log && fail "no damaged data was found"
scrub none
remount
verify a
[ "$(cat "$MNT/many/123")" = 123 ] || fail "wrong content in a small file"
detach
# The repaired device alone.
lose "$DEV"
DEV=$DEV2
attach -o degraded
verify a
[ "$(ls "$MNT/many" | wc -l)" -eq 200 ] || fail "files lost"
detach
