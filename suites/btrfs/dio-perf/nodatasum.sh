. "${0%/*}/perf.sh"
up -o nodatasum
old a $SMALL
old b $LARGE
sync
speed rand-write a 4096 $SMALL nosum_4k_rand
speed rand-write b 65536 $LARGE nosum_64k_rand
speed seq-write b 1048576 $LARGE nosum_1m_seq
down
