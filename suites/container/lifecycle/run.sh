. "${0%/*}/lib/container.sh"
store_up
bundle one 'hostname; echo "pid $$"; cat /etc/origin; echo changed >/etc/origin; rm /bin/wc; echo new >/new; ls /proc >/tmp/x; exit 7'
code=0
crun run -b "$STORE/c/one" one >/tmp/out || code=$?
cat /tmp/out
[ "$code" -eq 7 ] || fail "exit code $code, not 7"
[ "$(sed -n 1p /tmp/out)" = one ] || fail "wrong host name"
[ "$(sed -n 2p /tmp/out)" = "pid 1" ] || fail "not the first process of its namespace"
[ "$(sed -n 3p /tmp/out)" = image ] || fail "the image's file is not seen"
[ "$(hostname)" != one ] || fail "the host's name changed"
[ "$(cat "$STORE/image/etc/origin")" = image ] || fail "the image was written to"
[ "$(cat "$STORE/c/one/upper/etc/origin")" = changed ] || fail "the change is not in the upper layer"
[ "$(cat "$STORE/c/one/upper/new")" = new ] || fail "the new file is not in the upper layer"
[ -c "$STORE/c/one/upper/bin/wc" ] || fail "the deletion left no whiteout"
unbundle one
bundle two 'cat /etc/origin; echo x >/dev/full 2>/dev/null || true; id'
crun run -b "$STORE/c/two" two >/tmp/out
[ "$(sed -n 1p /tmp/out)" = image ] || fail "the second container sees the first one's change"
unbundle two
store_down
