# Helpers of the crash-consistency cases; sourced, not run.
dmsetup targets | grep -q '^log-writes ' || { echo "this kernel has no DM_LOG_WRITES"; exit 125; }
. "${0%/*}/lib/btrfs.sh"
RAM=$DEV
RECORD=$DEV2
DEV=/dev/dm-0
BYTES=268435456
CUTS=40

# A fresh file system on a device whose writes are recorded from the first.
record() {
    dmesg -c >/dev/null
    dmsetup remove cut >/dev/null 2>&1 || true
    dmsetup create cut --noudevsync --table "0 $((BYTES / 512)) log-writes $RAM $RECORD" || fail "dmsetup"
    fresh "$DEV"
    attach "$@"
}

# The workload is done: only what was there before the end of the record can be cut.
recorded() {
    dmsetup message cut 0 mark end
    detach
    dmsetup remove --noudevsync cut
}

# `cuts NAME MODE STEPS LABEL...`: what the workloads LABEL were promised, after many power cuts.
cuts() {
    name=$1
    mode=$2
    steps=$3
    shift 3
    fbtool power-cuts "$name" "$RECORD" "$BYTES" "$mode" "$SEED" "$steps" "$CUTS" "$@" || fail "a power cut loses what was durable"
    quiet
}
