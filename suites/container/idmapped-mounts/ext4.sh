. "${0%/*}/idmap.sh"
store_up ext4
DATA=$STORE/data
exercise
store_down
