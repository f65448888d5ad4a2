. "${0%/*}/latency.sh"
latency btrfs
