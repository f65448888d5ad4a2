# Helpers of the qgroup cases; sourced, not run.
. "${0%/*}/lib/btrfs.sh"

quota_up() {
    fresh "$DEV"
    attach
    btrfs quota enable "$MNT"
    btrfs subvolume create "$MNT/s" >/dev/null
}

# Bytes of subvolume $1: `used NAME rfer|excl`.
used() {
    id=$(btrfs subvolume list "$MNT" | awk -v p="$1" '$NF == p { print $2 }')
    group "0/$id" "$2"
}

# Bytes of group $1: `group 1/7 rfer|excl`.
group() {
    sync
    column=2
    [ "$2" = rfer ] || column=3
    btrfs qgroup show --raw "$MNT" | awk -v g="$1" -v c="$column" '$1 == g { print $c }'
}

# Bytes $1 are $2, give or take the metadata blocks (96 KiB).
about() {
    [ "$1" -ge "$(($2 - 98304))" ] && [ "$1" -le "$(($2 + 98304))" ] || fail "$3: $1 bytes, not about $2"
}

# The counters on disk are what the offline check counts itself.
agree() {
    btrfs check --qgroup-report "$DEV" >/tmp/qgroups.log 2>&1 || { cat /tmp/qgroups.log; fail "qgroup report"; }
    if grep -iE 'mismatch|are different|^diff' /tmp/qgroups.log; then
        cat /tmp/qgroups.log
        fail "the counters are wrong"
    fi
}
