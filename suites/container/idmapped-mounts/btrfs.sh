. "${0%/*}/idmap.sh"
store_up btrfs
DATA=$STORE/data
exercise
store_down
