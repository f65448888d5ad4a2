. "${0%/*}/qgroup.sh"
quota_up
fbtool pattern-write "$MNT/s/a" "$SEED" 4194304
fbtool pattern-write "$MNT/s/b" "$((SEED + 1))" 2097152
about "$(used s excl)" 6291456 "alone"
btrfs subvolume snapshot "$MNT/s" "$MNT/t" >/dev/null
about "$(used s rfer)" 6291456 "origin, referenced"
about "$(used s excl)" 0 "origin, exclusive while all is shared"
about "$(used t rfer)" 6291456 "snapshot, referenced"
# The snapshot diverges: new bytes are its own, the old ones the origin's.
fbtool pattern-write "$MNT/t/b" "$((SEED + 2))" 2097152
about "$(used t excl)" 2097152 "snapshot after an overwrite"
about "$(used s excl)" 2097152 "origin after the overwrite"
truncate -s 0 "$MNT/t/a"
about "$(used t rfer)" 2097152 "snapshot after a truncation"
about "$(used s excl)" 6291456 "origin after the truncation"
rm "$MNT/s/b"
about "$(used s rfer)" 4194304 "origin after a removal"
detach
agree
offline
