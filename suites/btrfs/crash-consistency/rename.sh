. "${0%/*}/cut.sh"
record
mkdir "$MNT/a"
sync
fbtool power-work rename "$MNT/a" a "$SEED" 100
recorded
cuts rename rename 100 a
