. "${0%/*}/qgroup.sh"
quota_up
fbtool pattern-write "$MNT/s/a" "$SEED" 3145728
for n in 1 2 3 4; do
    btrfs subvolume snapshot "$MNT/s" "$MNT/t$n" >/dev/null
    fbtool pattern-write "$MNT/s/own$n" "$((SEED + n))" 1048576
done
# Deletion is finished by a cleaner that works after a commit.
remount -o commit=1
for n in 2 4 1; do
    btrfs subvolume delete "$MNT/t$n" >/dev/null
    sync
    btrfs subvolume sync "$MNT" >/dev/null
    about "$(used s rfer)" 7340032 "origin after t$n went"
done
about "$(used t3 rfer)" 5242880 "the snapshot that is left"
about "$(used t3 excl)" 0 "exclusive in the snapshot that is left"
btrfs subvolume delete "$MNT/s" >/dev/null
sync
btrfs subvolume sync "$MNT" >/dev/null
about "$(used t3 excl)" 5242880 "the last one owns everything"
fbtool pattern-verify "$MNT/t3/a" "$SEED" 3145728
detach
agree
offline
