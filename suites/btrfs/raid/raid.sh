# Helpers of the raid cases; sourced, not run.
. "${0%/*}/lib/btrfs.sh"

# Files with a pattern that depends on the seed and $1, and their check.
fill() {
    for n in 1 2 3 4; do fbtool pattern-write "$MNT/$1$n" "$((SEED + n))" "$((n * 700001))"; done
}
verify() {
    for n in 1 2 3 4; do fbtool pattern-verify "$MNT/$1$n" "$((SEED + n))" "$((n * 700001))"; done
}

# Takes device $1 away for good: its content is gone and the kernel forgets it.
lose() {
    # Both copies of the super block are in the first 65 MiB.
    dd if=/dev/zero of="$1" bs=1M count=66 2>/dev/null
    btrfs device scan --forget "$1"
}

# Scrubs, and expects $1 repairs of anything and nothing beyond repair.
scrub() {
    btrfs scrub start -B -R "$MNT" >/tmp/scrub.log || true
    cat /tmp/scrub.log
    grep -q 'uncorrectable_errors: 0$' /tmp/scrub.log || fail "something could not be repaired"
    if [ "$1" = none ]; then
        grep -q 'corrected_errors: 0$' /tmp/scrub.log || fail "something was damaged"
    else
        if grep -q 'corrected_errors: 0$' /tmp/scrub.log; then fail "nothing was repaired"; fi
    fi
}
