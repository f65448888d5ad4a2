. "${0%/*}/ns.sh"
for kind in uts user pid mnt net ipc; do
    case $kind in uts) flag=-u ;; user) flag=-U ;; pid) flag="-p -f" ;; mnt) flag=-m ;; net) flag=-n ;; ipc) flag=-i ;; esac
    limit=/proc/sys/user/max_${kind}_namespaces
    old=$(cat "$limit")
    echo 0 >"$limit"
    if unshare $flag true 2>/tmp/err; then fail "a $kind namespace beyond the limit"; fi
    grep -qi 'no space' /tmp/err || { cat /tmp/err; fail "another error than ENOSPC for $kind"; }
    echo "$old" >"$limit"
    n=0
    while [ "$n" -lt 10 ]; do unshare $flag true || fail "$kind after the limit was lifted"; n=$((n + 1)); done
done
# Thirty-three nested user namespaces are the most.
depth='id -u'
n=0
while [ "$n" -lt 33 ]; do depth="unshare -U -r $depth"; n=$((n + 1)); done
$depth >/dev/null || fail "thirty-three nested user namespaces"
if unshare -U -r $depth >/dev/null 2>&1; then fail "thirty-four nested user namespaces"; fi
