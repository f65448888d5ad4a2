. "${0%/*}/idmap.sh"
store_up
mkdir -p "$DATA"
mount -t tmpfs data "$DATA"
exercise
umount "$DATA"
store_down
