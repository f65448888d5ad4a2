. "${0%/*}/lib/btrfs.sh"
fresh "$DEV"
attach
n=0
for size in 0 1 100 2047 4096 4097 65536 100000 1048576 5000001; do
    fbtool pattern-write "$MNT/file$n" "$((SEED + n))" "$size"
    n=$((n + 1))
done
mkdir "$MNT/many"
i=0
while [ "$i" -lt 300 ]; do echo "$i" >"$MNT/many/$i"; i=$((i + 1)); done
ln "$MNT/file3" "$MNT/hard"
ln -s file4 "$MNT/soft"
remount
n=0
for size in 0 1 100 2047 4096 4097 65536 100000 1048576 5000001; do
    fbtool pattern-verify "$MNT/file$n" "$((SEED + n))" "$size"
    n=$((n + 1))
done
[ "$(ls "$MNT/many" | wc -l)" -eq 300 ] || fail "files lost"
[ "$(cat "$MNT/many/217")" = 217 ] || fail "wrong content in a small file"
cmp "$MNT/file3" "$MNT/hard" || fail "hard link differs"
cmp "$MNT/file4" "$MNT/soft" || fail "symbolic link differs"
rm -r "$MNT/many"
detach
offline
