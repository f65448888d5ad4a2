. "${0%/*}/ns.sh"
hostname outer
is "name inside" "$(unshare -u sh -c 'hostname inner; hostname')" inner
is "name outside" "$(hostname)" outer
is "name inherited" "$(unshare -u unshare -u hostname)" outer
mkdir -p /mnt/q
mount -t mqueue q /mnt/q
touch /mnt/q/outer
unshare -i -m sh -c 'mount -t mqueue q /mnt/q && ls /mnt/q && touch /mnt/q/inner' >/tmp/seen
is "queues inside" "$(cat /tmp/seen)" ""
is "queues outside" "$(ls /mnt/q)" outer
unshare -i -m sh -c 'mount -t mqueue q /mnt/q; i=0; while [ $i -lt 4 ]; do touch /mnt/q/$i; i=$((i+1)); done'
rm /mnt/q/outer
umount /mnt/q
# Its own loopback, with its own settings.
lo=/sys/class/net/lo/mtu
outer=$(cat "$lo")
echo 1400 >"$lo"
inside='mount -t sysfs s /sys; ls /sys/class/net; cat /sys/class/net/lo/mtu; echo 1300 >/sys/class/net/lo/mtu; cat /sys/class/net/lo/mtu'
is "the inner device" "$(unshare -n -m sh -c "$inside" | tr '\n' ' ')" "lo $outer 1300 "
is "the outer device" "$(cat "$lo")" 1400
echo "$outer" >"$lo"
