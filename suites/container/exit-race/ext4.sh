. "${0%/*}/race.sh"
race ext4
