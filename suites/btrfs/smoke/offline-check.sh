. "${0%/*}/lib/btrfs.sh"
fresh "$DEV"
attach -o compress=zstd:1
i=0
while [ "$i" -lt 12 ]; do
    mkdir "$MNT/d$i"
    fbtool pattern-write "$MNT/d$i/f" "$((SEED + i))" "$((i * 33333))"
    yes "line $i" | head -c 200000 >"$MNT/d$i/text"
    ( cd "$MNT/d$i" && ln f g && rm f && truncate -s "$((i * 5000))" text )
    i=$((i + 1))
done
rm -r "$MNT/d3" "$MNT/d7"
sync
detach
btrfs check --check-data-csum "$DEV" >/tmp/check.log 2>&1 || { cat /tmp/check.log; fail "btrfs check"; }
attach -o ro
fbtool pattern-verify "$MNT/d5/g" "$((SEED + 5))" 166665
[ "$(wc -c <"$MNT/d9/text")" -eq 45000 ] || fail "wrong size after truncation"
detach
