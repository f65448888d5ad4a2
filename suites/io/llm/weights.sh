. "${0%/*}/llm.sh"
work() {
    fbtool checkpoint "$MNT" "$SEED" 1 64 "$FS"_prepare >/dev/null
    for mode in direct buffered mmap; do
        cold
        fbtool weights "$mode" "$MNT/0" "$SEED" 0 "$FS"_weights_$mode
    done
    fbtool weights mmap "$MNT/0" "$SEED" 0 "$FS"_weights_mmap_warm
}
on_each work
