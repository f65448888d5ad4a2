. "${0%/*}/lib.sh"
fresh "$DEV"
attach
exercise eof data 200
detach
offline
