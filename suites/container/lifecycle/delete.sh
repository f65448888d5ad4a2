. "${0%/*}/lib/container.sh"
store_up
# Created, never started.
bundle one 'echo never >/never'
crun create -b "$STORE/c/one" one </dev/null >/dev/null 2>&1
await one created
crun delete -f one
[ ! -e "$STORE/c/one/upper/never" ] || fail "the container ran"
# Running: refused without force.
bundle two 'sleep 1000'
crun create -b "$STORE/c/two" two </dev/null >/dev/null 2>&1
crun start two
await two running
if crun delete two 2>/tmp/err; then fail "a running container was deleted"; fi
cat /tmp/err
crun delete -f two
# The same name again at once.
unbundle two
rm -r "$STORE/c/two"
bundle two 'exit 0'
crun run -b "$STORE/c/two" two
# Unknown.
if crun delete three 2>/dev/null; then fail "an unknown container was deleted"; fi
[ -z "$(crun list -q)" ] || fail "left: $(crun list -q)"
unbundle one
unbundle two
store_down
