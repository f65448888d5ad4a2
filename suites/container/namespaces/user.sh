. "${0%/*}/ns.sh"
cd /tmp
chmod 1777 /tmp
echo secret >/tmp/secret
chmod 600 /tmp/secret
# An ordinary user becomes root of a namespace of their own, and no more than that.
# By its path: the shell would take the applet of busybox.
as_user() { /bin/setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
is "root inside" "$(as_user unshare -U -r id -u)" 0
if as_user unshare -U -r cat /tmp/secret 2>/dev/null; then fail "root inside read a file of root outside"; fi
if as_user unshare -U -r hostname intruder 2>/dev/null; then fail "root inside named the host"; fi
if as_user unshare -U -r mount -t tmpfs x /mnt 2>/dev/null; then fail "root inside mounted outside"; fi
if as_user unshare -U -r chown 5:5 /tmp/secret 2>/dev/null; then fail "root inside gave a foreign file away"; fi
as_user unshare -U -r -m sh -c 'mount -t tmpfs x /mnt && touch /mnt/f' || fail "root inside cannot mount inside"
if [ -e /mnt/f ]; then fail "a mount came out of its namespace"; fi
as_user unshare -U -r touch /tmp/mine
is "owner of a new file, outside" "$(stat -c %u /tmp/mine)" 1000
is "owner of a new file, inside" "$(as_user unshare -U -r stat -c %u /tmp/mine)" 0
is "owner of a foreign file, inside" "$(as_user unshare -U -r stat -c %u /tmp/secret)" 65534
if as_user unshare -U -r chown 1 /tmp/mine 2>/dev/null; then fail "a file went to a user who is not mapped"; fi
is "root in the second depth" "$(as_user unshare -U -r unshare -U -r id -u)" 0
# The map is written once.
as_user unshare -U -r sh -c 'echo "0 0 1" >/proc/self/uid_map' 2>/dev/null && fail "the map was written twice"
# A file that is set-uid root outside gives nothing inside.
cp /bin/fbtool /tmp/suid
chmod 4755 /tmp/suid
as_user /tmp/suid fsync /tmp/secret || fail "set-uid does not work outside"
if as_user unshare -U -r /tmp/suid fsync /tmp/secret >/dev/null; then fail "set-uid leads out"; fi
rm -f /tmp/suid /tmp/mine /tmp/secret
