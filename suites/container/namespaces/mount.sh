. "${0%/*}/ns.sh"
mkdir -p /mnt/a /mnt/shared /mnt/slave
# Private: what is mounted inside stays inside.
unshare -m --propagation private sh -c 'mount -t tmpfs inner /mnt/a && touch /mnt/a/file && grep -q " /mnt/a " /proc/mounts'
if grep -q ' /mnt/a ' /proc/mounts; then fail "a private mount came out"; fi
[ ! -e /mnt/a/file ] || fail "a file of a private mount came out"
# Shared: both ways. Slave: one way.
mount -t tmpfs shared /mnt/shared
mount --make-rshared /mnt/shared
mkdir /mnt/shared/x /mnt/shared/y
unshare -m --propagation shared mount -t tmpfs inner /mnt/shared/x
grep -q ' /mnt/shared/x ' /proc/mounts || fail "a shared mount did not come out"
umount /mnt/shared/x
unshare -m --propagation slave sh -c 'mount -t tmpfs inner /mnt/shared/x; echo up >/tmp/up; until [ -e /tmp/go ]; do usleep 10000; done; grep -q " /mnt/shared/y " /proc/mounts; echo $? >/tmp/seen' &
until_true test -e /tmp/up
if grep -q ' /mnt/shared/x ' /proc/mounts; then fail "a slave's mount came out"; fi
mount -t tmpfs outer /mnt/shared/y
touch /tmp/go
wait
is "the slave sees the outer mount" "$(cat /tmp/seen)" 0
umount /mnt/shared/y
umount /mnt/shared
rm /tmp/up /tmp/go /tmp/seen
# A mount that is busy in one namespace can be taken away in another, and ends with the first.
mount -t tmpfs busy /mnt/a
touch /mnt/a/file
unshare -m --propagation private sh -c 'cd /mnt/a; echo up >/tmp/up; until [ -e /tmp/go ]; do usleep 10000; done; ls' >/tmp/seen &
until_true test -e /tmp/up
umount /mnt/a
[ ! -e /mnt/a/file ] || fail "the mount is still here"
touch /tmp/go
wait
is "files of the mount inside" "$(cat /tmp/seen)" file
rm /tmp/up /tmp/go /tmp/seen
