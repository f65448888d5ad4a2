. "${0%/*}/cut.sh"
record
fbtool power-work direct "$MNT/a" a "$SEED" 160
recorded
cuts direct direct 160 a
