. "${0%/*}/perf.sh"
up
old a $SMALL
old b $LARGE
sync
speed rand-write a 4096 $SMALL cow_4k_rand
speed rand-write b 65536 $LARGE cow_64k_rand
speed seq-write b 1048576 $LARGE cow_1m_seq
down
