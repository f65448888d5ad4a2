. "${0%/*}/exercise.sh"
fresh "$DEV"
attach
exercise eof data 120
# Data with checksums may be written through the page cache: this file has none.
remount -o nodatasum
exercise eof plain 120
detach
offline
