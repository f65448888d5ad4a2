. "${0%/*}/lib/container.sh"
store_up
bundle one 'cat /proc/self/cgroup; hostname'
crun run -b "$STORE/c/one" one >/tmp/out
[ "$(head -n 1 /tmp/out)" = '0::/' ] || { cat /tmp/out; fail "the container's cgroup is not its root"; }
[ "$(tail -n 1 /tmp/out)" = one ] || fail "the container's name"
unbundle one
bundle two 'sleep 1000'
crun run -d -b "$STORE/c/two" two </dev/null >/dev/null 2>&1
pid=$(crun state two | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
[ "$(cat "/proc/$pid/cgroup")" = '0::/firstbad/two' ] || fail "seen from outside: $(cat "/proc/$pid/cgroup")"
crun delete -f two
unbundle two
store_down
