. "${0%/*}/perf.sh"
up -o compress-force=zstd:1
old a $SMALL
sync
speed rand-write a 4096 2097152 compressed_4k_rand
speed seq-write a 1048576 $SMALL compressed_1m_seq
down
