. "${0%/*}/llm.sh"
work() {
    fbtool checkpoint "$MNT" "$SEED" 1 64 "$FS"_prepare >/dev/null
    cold
    fbtool shuffle "$MNT/0" "$SEED" 0 2000 "$FS"_dataset_cold
    fbtool shuffle "$MNT/0" "$SEED" 0 2000 "$FS"_dataset_warm
}
on_each work
