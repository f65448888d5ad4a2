. "${0%/*}/qgroup.sh"
quota_up
btrfs qgroup limit 8M "$MNT/s"
fbtool pattern-write "$MNT/s/a" "$SEED" 4194304
if dd if=/dev/zero of="$MNT/s/big" bs=64k count=160 conv=fsync 2>/tmp/dd.log; then fail "14 MiB under a limit of 8 MiB"; fi
grep -q 'quota exceeded' /tmp/dd.log || { cat /tmp/dd.log; fail "another error than EDQUOT"; }
sync
rfer=$(used s rfer)
[ "$rfer" -le 8388608 ] || fail "$rfer bytes under a limit of 8388608"
[ "$rfer" -ge 6291456 ] || fail "stopped already at $rfer bytes"
# Outside the limit there is room.
fbtool pattern-write "$MNT/outside" "$SEED" 8000000
fbtool pattern-verify "$MNT/s/a" "$SEED" 4194304
rm "$MNT/s/big"
sync
fbtool pattern-write "$MNT/s/c" "$((SEED + 1))" 3000000
remount
fbtool pattern-verify "$MNT/s/c" "$((SEED + 1))" 3000000
if dd if=/dev/zero of="$MNT/s/big" bs=64k count=160 conv=fsync 2>/dev/null; then fail "the limit is gone after a remount"; fi
rm -f "$MNT/s/big"
detach
agree
offline
