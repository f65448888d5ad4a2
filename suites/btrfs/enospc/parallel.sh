. "${0%/*}/small.sh"
small_up
for n in 1 2 3 4; do
    ( mkdir "$MNT/d$n"
      i=0
      while [ "$i" -lt 40 ]; do
          dd if=/dev/zero of="$MNT/d$n/$i" bs=100k count=20 conv=fsync 2>/dev/null || break
          i=$((i + 1))
      done ) &
done
i=0
while [ "$i" -lt 6 ]; do
    btrfs subvolume snapshot "$MNT" "$MNT/snap$i" >/dev/null 2>&1 || true
    sleep 0.05
    i=$((i + 1))
done
wait
# Still a file system that takes writes once there is room.
full rest
rm "$MNT/rest"
for snap in "$MNT"/snap*; do
    if [ -d "$snap" ]; then btrfs subvolume delete "$snap" >/dev/null; fi
done
remount -o commit=1
rm -r "$MNT"/d1 "$MNT"/d2
sync
btrfs subvolume sync "$MNT" >/dev/null
fbtool pattern-write "$MNT/after" "$((SEED + 1))" 10000000
fbtool pattern-verify "$MNT/after" "$((SEED + 1))" 10000000
small_down
