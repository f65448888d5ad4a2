. "${0%/*}/lib/container.sh"
store_up
# Eight processes at most: the shell, and seven of twenty.
PIDS=8 bundle forks 'i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; exit 0'
code=0
crun run -b "$STORE/c/forks" forks >/tmp/out 2>&1 || code=$?
grep -q "can.t fork" /tmp/out || { cat /tmp/out; fail "twenty processes under a limit of eight"; }
unbundle forks
# The host still forks, and so does a container with room.
PIDS=32 bundle room 'i=0; while [ $i -lt 20 ]; do sleep 0.1 & i=$((i+1)); done; wait; echo done'
[ "$(crun run -b "$STORE/c/room" room)" = done ] || fail "twenty processes do not fit a limit of 32"
unbundle room
# 16 MiB of memory, tmpfs included: 46 MiB are too much, 4 MiB are not.
MEMORY=16777216 bundle big 'i=0; while [ $i -lt 24 ]; do cat /bin/busybox >>/tmp/b; i=$((i+1)); done; echo survived'
code=0
crun run -b "$STORE/c/big" big >/tmp/out 2>&1 || code=$?
if grep -q survived /tmp/out; then fail "46 MiB in a tmpfs under a limit of 16 MiB"; fi
unbundle big
MEMORY=16777216 bundle small 'cat /bin/busybox /bin/busybox >/tmp/b; echo fits'
[ "$(crun run -b "$STORE/c/small" small)" = fits ] || fail "4 MiB do not fit a limit of 16 MiB"
unbundle small
store_down
