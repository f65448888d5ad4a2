. "${0%/*}/lib.sh"
fresh "$DEV"
attach
exercise aligned data 200
detach
offline
