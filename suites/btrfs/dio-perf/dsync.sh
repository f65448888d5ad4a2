. "${0%/*}/perf.sh"
up
place a $SMALL
old a $SMALL
old b $SMALL
sync
speed rand-dsync a 4096 2097152 dsync_over_4k_rand
speed rand-dsync b 4096 2097152 dsync_cow_4k_rand
down
