. "${0%/*}/raid.sh"
fresh -b 256M -d raid1 -m raid1 "$DEV" "$DEV2"
attach
fill a
( i=0; while [ "$i" -lt 30 ]; do fbtool pattern-write "$MNT/w$((i % 3))" "$((SEED + i))" 500000; i=$((i + 1)); done ) &
btrfs replace start -B -f "$DEV2" "$DEV3" "$MNT"
wait
btrfs replace status -1 "$MNT" | grep -q 'finished' || fail "the replacement did not finish"
verify a
for n in 0 1 2; do fbtool pattern-verify "$MNT/w$n" "$((SEED + 27 + n))" 500000; done
scrub none
detach
offline
# The new device holds everything.
lose "$DEV"
lose "$DEV2"
DEV=$DEV3
attach -o degraded
verify a
for n in 0 1 2; do fbtool pattern-verify "$MNT/w$n" "$((SEED + 27 + n))" 500000; done
detach
