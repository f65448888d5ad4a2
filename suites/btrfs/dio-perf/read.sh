. "${0%/*}/perf.sh"
up
place a $SMALL
old a $SMALL
old b $LARGE
sync
echo 3 >/proc/sys/vm/drop_caches
speed rand-read a 4096 $SMALL read_nosum_4k_rand
speed rand-read b 4096 $SMALL read_sum_4k_rand
speed seq-read b 1048576 $LARGE read_sum_1m_seq
down
