. "${0%/*}/ns.sh"
touch /tmp/uts /tmp/net
unshare -u sh -c 'hostname kept; mount --bind /proc/self/ns/uts /tmp/uts'
is "name after the processes ended" "$(nsenter --uts=/tmp/uts hostname)" kept
nsenter --uts=/tmp/uts hostname renamed
is "name after another visit" "$(nsenter --uts=/tmp/uts hostname)" renamed
[ "$(hostname)" != renamed ] || fail "the visit changed the name outside"
first=$(stat -L -c %i /tmp/uts)
umount /tmp/uts
if nsenter --uts=/tmp/uts hostname 2>/dev/null; then fail "entered what is gone"; fi
# A network namespace keeps its devices as long.
unshare -n -m sh -c 'mount -t sysfs s /sys; echo 1300 >/sys/class/net/lo/mtu; exec 6</proc/self/ns/net; echo up >/tmp/up; until [ -e /tmp/go ]; do usleep 10000; done' &
until_true test -e /tmp/up
mount --bind "/proc/$!/ns/net" /tmp/net
touch /tmp/go
wait
is "the device after the processes ended" "$(nsenter --net=/tmp/net unshare -m sh -c 'mount -t sysfs s /sys; cat /sys/class/net/lo/mtu')" 1300
umount /tmp/net
rm /tmp/up /tmp/go
# Held by an open file alone.
unshare -u sh -c 'hostname open; echo up >/tmp/up; until [ -e /tmp/go ]; do usleep 10000; done' &
until_true test -e /tmp/up
exec 5</proc/$!/ns/uts
touch /tmp/go
wait
is "name through an open file" "$(nsenter --uts=/proc/self/fd/5 hostname)" open
exec 5<&-
rm -f /tmp/up /tmp/go /tmp/uts /tmp/net
[ -n "$first" ]
