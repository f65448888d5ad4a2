# Runs in the sandbox with bash: tries to get out, and says for each try whether the wall held.
# $1 port of a listener on the host's loopback, $2 a unix socket, $3 a secret file, $4 the worker's directory
try() {
	name=$1
	shift
	if "$@" >/dev/null 2>&1; then echo "$name breach"; else echo "$name held"; fi
}
try tcp timeout 3 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1"
try unix-socket test -e "$2"
try secret cat "$3"
try write-worker bash -c ": >$4/selftest-breach"
try write-usr bash -c ': >/usr/selftest-breach'
try write-root bash -c ': >/selftest-breach'
try host-run ls /run
try host-var ls /var
try setuid setpriv --reuid 0 true
try user-namespace unshare --user true
try mount mount -t tmpfs none /tmp
grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status && echo "no-new-privs held"
grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status && echo "capabilities held"
echo mine >/scratch/written && echo "scratch held"
