# The measurement of the cases; sourced, not run.
. "${0%/*}/lib/container.sh"
COUNT=30

latency() {
    store_up "$1"
    rm -f /tmp/*.ns /tmp/stop
    for writer in 1 2; do
        ( while [ ! -e /tmp/stop ]; do dd if=/dev/zero of="$STORE/noise$writer" bs=256k count=8 conv=fsync 2>/dev/null; usleep 5000; done ) &
    done
    n=0
    while [ "$n" -lt "$COUNT" ]; do
        bundle "c$n" 'i=0; while [ $i -lt 20 ]; do cat /bin/hostname /etc/origin >/f$i; i=$((i+1)); done; cat /bin/busybox >/big; echo up >/up; while :; do echo x >>/log; busybox usleep 1000; done'
        crun run -d -b "$STORE/c/c$n" "c$n" </dev/null >/dev/null 2>&1
        tries=0
        until [ -e "$STORE/c/c$n/upper/up" ]; do
            tries=$((tries + 1))
            [ "$tries" -lt 500 ] || fail "container c$n does not start"
            usleep 5000
        done
        below 5000
        usleep "$R"
        fbtool timed /tmp/kill.ns crun --cgroup-manager=cgroupfs delete -f "c$n"
        fbtool timed /tmp/umount.ns umount "$STORE/c/c$n/rootfs"
        fbtool timed /tmp/remove.ns rm -rf "$STORE/c/c$n"
        n=$((n + 1))
        [ "$((n % 10))" -ne 0 ] || echo "$n containers"
    done
    touch /tmp/stop
    wait
    for step in kill umount remove; do
        [ "$(wc -l <"/tmp/$step.ns")" -eq "$COUNT" ] || fail "times of $step are missing"
        fbtool percentiles "/tmp/$step.ns" "$1_exit_$step"
    done
    fbtool timed /tmp/store.ns umount "$STORE"
    fbtool percentiles /tmp/store.ns "$1_exit_store" | grep p50
    mount -t "$1" "$DEV" "$STORE"
    store_down
}
