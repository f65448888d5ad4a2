. "${0%/*}/lib.sh"
fresh "$DEV"
attach
exercise mixed data 200
detach
offline
