. "${0%/*}/lib/btrfs.sh"
fresh "$DEV"
attach
fbtool pattern-write "$MNT/a" "$SEED" 6000000
sync
btrfs scrub start -B -R "$MNT" >/tmp/scrub.log || { cat /tmp/scrub.log; fail "scrub"; }
for what in read_errors csum_errors verify_errors uncorrectable_errors; do
    grep -q "$what: 0$" /tmp/scrub.log || { cat /tmp/scrub.log; fail "$what in intact data"; }
done
detach
