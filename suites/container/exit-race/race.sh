# The race of the cases; sourced, not run.
. "${0%/*}/lib/container.sh"
WAVES=12
EACH=5
# Writes, renames and removes for ever, with a file open and dirty at any moment.
BUSY='exec 3>/open; while :; do dd if=/bin/busybox of=/f bs=16k count=8 2>/dev/null; echo x >&3; mv /f /g; cat /g >>/etc/origin; rm /g; busybox usleep 2000; done'

# Waits until container $1 writes.
up() {
    tries=0
    until [ -e "$STORE/c/$1/upper/open" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 500 ] || fail "container $1 does not start"
        usleep 5000
    done
}

race() {
    store_up "$1"
    ( while [ ! -e /tmp/stop ]; do dd if=/dev/zero of="$STORE/noise" bs=64k count=16 2>/dev/null; sync; usleep 3000; done ) &
    noise=$!
    wave=0
    while [ "$wave" -lt "$WAVES" ]; do
        pids=
        n=0
        while [ "$n" -lt "$EACH" ]; do
            bundle "$wave-$n" "$BUSY"
            crun run -b "$STORE/c/$wave-$n" "$wave-$n" >/dev/null 2>&1 </dev/null &
            pids="$pids $!"
            n=$((n + 1))
        done
        n=0
        while [ "$n" -lt "$EACH" ]; do
            up "$wave-$n"
            n=$((n + 1))
        done
        # One after another at seeded moments, each unmounted the moment it is gone.
        n=0
        for pid in $pids; do
            below 8000
            usleep "$R"
            echo 1 >"/sys/fs/cgroup/firstbad/$wave-$n/cgroup.kill"
            code=0
            wait "$pid" || code=$?
            [ "$code" -eq 137 ] || fail "container $wave-$n ended with $code"
            unbundle "$wave-$n"
            rm -rf "$STORE/c/$wave-$n"
            n=$((n + 1))
        done
        wave=$((wave + 1))
        echo "$((wave * EACH)) containers"
    done
    touch /tmp/stop
    wait "$noise"
    rm /tmp/stop
    store_down
}
