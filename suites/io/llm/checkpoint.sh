. "${0%/*}/llm.sh"
work() {
    mkdir "$MNT/c"
    fbtool checkpoint "$MNT/c" "$SEED" 4 16 "$FS"_checkpoint_new
    fbtool checkpoint "$MNT/c" "$((SEED + 1))" 4 16 "$FS"_checkpoint
    again
    for shard in 0 1 2 3; do
        fbtool weights buffered "$MNT/c/$shard" "$((SEED + 1))" "$shard" "$FS"_read >/tmp/read || { cat /tmp/read; fail "shard $shard"; }
    done
    [ -z "$(ls "$MNT/c" | grep part)" ] || fail "a part is left"
}
on_each work
