. "${0%/*}/perf.sh"
up
place a $SMALL
place b $LARGE
place c $LARGE
sync
speed rand-write a 4096 $SMALL first_4k_rand
speed rand-write b 65536 $LARGE first_64k_rand
speed seq-write c 1048576 $LARGE first_1m_seq
down
