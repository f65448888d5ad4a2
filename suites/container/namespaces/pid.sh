. "${0%/*}/ns.sh"
is "the first pid" "$(unshare -p -f sh -c 'echo $$')" 1
is "processes in /proc" "$(unshare -p -f -m --mount-proc sh -c 'set -- /proc/[0-9]*; echo $#')" 1
is "depth three" "$(unshare -p -f unshare -p -f unshare -p -f sh -c 'echo $$')" 1
# All of a namespace die with its first process, however they were started.
unshare -p -f -m --mount-proc sh -c 'sleep 2001 & (sleep 2002 & setsid sleep 2003 &) ; unshare -p -f sleep 2004 & echo up >/tmp/up; sleep 2005' &
until_true test -e /tmp/up
until_true sh -c '[ "$(ps -o args | grep -c "^sleep 200[1-5]$")" -eq 5 ]'
# The shell has become its last command: that is the first process of the namespace.
inner=$(ps -o pid,args | awk '$2 == "sleep" && $3 == 2005 { print $1 }')
kill -KILL "$inner"
until_true sh -c '! ps -o args | grep -q "^sleep 200[1-5]$"'
wait || true
rm /tmp/up
# A first process without a handler is not ended by a signal from inside, but is from outside.
code=0
unshare -p -f sh -c 'kill -TERM $$; kill -KILL $$; exit 7' || code=$?
is "signals from inside" "$code" 7
code=0
unshare -p -f sh -c 'exec sh -c "kill -9 -1; exit 9"' || code=$?
is "kill of all inside" "$code" 9
# No new process once the first is gone: the kernel refuses with ENOMEM.
unshare -p sh -c '(exit 0); (echo second); true' >/tmp/out 2>&1 || true
if grep -q '^second' /tmp/out; then fail "a process in a namespace whose first has ended"; fi
