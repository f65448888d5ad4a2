. "${0%/*}/exercise.sh"
fresh "$DEV"
attach
exercise unaligned data 120
# Data with checksums may be written through the page cache: this file has none.
remount -o nodatasum
exercise unaligned plain 120
detach
offline
