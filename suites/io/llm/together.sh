. "${0%/*}/llm.sh"
work() {
    mkdir "$MNT/c"
    fbtool checkpoint "$MNT" "$SEED" 1 48 "$FS"_prepare >/dev/null
    cold
    fbtool checkpoint "$MNT/c" "$SEED" 2 24 "$FS"_busy_checkpoint >/tmp/checkpoint &
    writer=$!
    fbtool shuffle "$MNT/0" "$SEED" 0 2000 "$FS"_busy_dataset
    wait "$writer" || fail "the checkpoint"
    cat /tmp/checkpoint
    again
    for shard in 0 1; do
        fbtool weights direct "$MNT/c/$shard" "$SEED" "$shard" "$FS"_read >/tmp/read || { cat /tmp/read; fail "shard $shard"; }
    done
}
on_each work
