. "${0%/*}/perf.sh"
up
place a $SMALL
place b $LARGE
old a $SMALL
old b $LARGE
sync
speed rand-write a 4096 $SMALL over_4k_rand
speed rand-write b 65536 $LARGE over_64k_rand
speed seq-write b 1048576 $LARGE over_1m_seq
down
