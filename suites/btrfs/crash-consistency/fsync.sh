. "${0%/*}/cut.sh"
record
fbtool power-work fsync "$MNT/a" a "$SEED" 160
recorded
cuts fsync fsync 160 a
