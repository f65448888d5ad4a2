. "${0%/*}/lib.sh"
fresh "$DEV"
attach
for mode in aligned unaligned mixed; do
    fbtool nocow "$MNT/$mode"
    exercise "$mode" "$mode" 100
done
detach
offline
