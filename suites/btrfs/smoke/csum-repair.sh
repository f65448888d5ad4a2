. "${0%/*}/lib/btrfs.sh"
fresh -d raid1 -m raid1 "$DEV" "$DEV2"
attach
fbtool pattern-write "$MNT/a" "$SEED" 500000
sync
detach
fbtool corrupt-pattern "$DEV2" "$SEED"
attach
# Both copies are looked at by scrub whichever of them a read would choose.
btrfs scrub start -B -R "$MNT" >/tmp/scrub.log || true
cat /tmp/scrub.log
grep -q 'csum_errors: 1$' /tmp/scrub.log || fail "the damage was not found"
grep -q 'corrected_errors: 1$' /tmp/scrub.log || fail "the damage was not repaired"
grep -q 'uncorrectable_errors: 0$' /tmp/scrub.log || fail "something could not be repaired"
btrfs scrub start -B -R "$MNT" >/tmp/scrub.log || { cat /tmp/scrub.log; fail "second scrub"; }
grep -q 'csum_errors: 0$' /tmp/scrub.log || fail "the repair did not last"
remount
fbtool pattern-verify "$MNT/a" "$SEED" 500000
detach
# Read from the device alone: both copies must hold the data again.
fbtool corrupt-pattern "$DEV" "$SEED"
attach
fbtool pattern-verify "$MNT/a" "$SEED" 500000
detach
