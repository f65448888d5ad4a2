. "${0%/*}/qgroup.sh"
quota_up
fbtool pattern-write "$MNT/s/a" "$SEED" 4194304
sync
btrfs qgroup create 1/7 "$MNT"
id=$(btrfs subvolume list "$MNT" | awk '$NF == "s" { print $2 }')
btrfs qgroup assign "0/$id" 1/7 "$MNT" || true
btrfs quota rescan -w "$MNT" >/dev/null
about "$(group 1/7 rfer)" 4194304 "the group with one member"
btrfs subvolume snapshot -i 1/7 "$MNT/s" "$MNT/t" >/dev/null
btrfs quota rescan -w "$MNT" >/dev/null
about "$(group 1/7 rfer)" 4194304 "the group with two members that share all"
about "$(group 1/7 excl)" 4194304 "what only the group has"
fbtool pattern-write "$MNT/t/b" "$((SEED + 1))" 2097152
about "$(group 1/7 excl)" 6291456 "the group after one member grew"
btrfs qgroup limit 8M 1/7 "$MNT"
if dd if=/dev/zero of="$MNT/s/big" bs=64k count=80 conv=fsync 2>/dev/null; then fail "the group's limit does not hold its members"; fi
rm -f "$MNT/s/big"
detach
agree
offline
