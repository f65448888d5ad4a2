. "${0%/*}/exercise.sh"
fresh "$DEV"
attach
for mode in aligned unaligned mixed; do
    fbtool nocow "$MNT/$mode"
    exercise "$mode" "$mode" 120
done
detach
offline
