. "${0%/*}/cut.sh"
record
btrfs subvolume create "$MNT/live" >/dev/null
sync
fbtool power-work snapshot "$MNT/live" live "$SEED" 160
recorded
cuts snapshot snapshot 160 live
