. "${0%/*}/lib.sh"
fresh "$DEV"
attach
exercise unaligned data 200
detach
offline
