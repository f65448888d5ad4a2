. "${0%/*}/qgroup.sh"
quota_up
( i=0
  while [ "$i" -lt 60 ]; do
      fbtool pattern-write "$MNT/s/f$((i % 7))" "$((SEED + i))" "$(((i % 5 + 1) * 150001))"
      [ "$((i % 6))" -ne 5 ] || rm "$MNT/s/f$((i % 7))"
      i=$((i + 1))
  done ) &
n=0
while [ "$n" -lt 12 ]; do
    btrfs subvolume snapshot "$MNT/s" "$MNT/t$n" >/dev/null
    [ "$n" -lt 3 ] || btrfs subvolume delete "$MNT/t$((n - 3))" >/dev/null
    sleep 0.02
    n=$((n + 1))
done
wait
remount -o commit=1
sync
btrfs subvolume sync "$MNT" >/dev/null
sync
btrfs qgroup show --raw "$MNT" >/tmp/before
btrfs quota rescan -w "$MNT" >/dev/null
sync
btrfs qgroup show --raw "$MNT" >/tmp/after
grep -v '<' /tmp/before | grep '^0/' >/tmp/before.live
grep -v '<' /tmp/after | grep '^0/' >/tmp/after.live
diff /tmp/before.live /tmp/after.live || fail "a rescan corrected the counters"
detach
agree
offline
