. "${0%/*}/race.sh"
race btrfs
