. "${0%/*}/latency.sh"
latency ext4
