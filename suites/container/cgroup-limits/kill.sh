. "${0%/*}/group.sh"
group tree
n=0
for path in tree/a tree/a/x tree/a/y tree/b tree/b/z; do
    group "$path"
    inside "$path" sh -c 'trap "" TERM INT HUP; sleep 1000 & setsid sleep 1000 & while :; do usleep 20000; done' &
    n=$((n + 1))
done
for path in tree/a tree/a/x tree/a/y tree/b tree/b/z; do
    until_true sh -c '[ "$(wc -l <"$0")" -ge 3 ]' "$TOP/$path/cgroup.procs"
done
echo 1 >"$TOP/tree/cgroup.kill"
wait || true
until_true grep -q 'populated 0' "$TOP/tree/cgroup.events"
if ps -o args | grep -v grep | grep 'sleep 1000'; then fail "a process outlived cgroup.kill"; fi
for path in tree/a/x tree/a/y tree/b/z tree/a tree/b tree; do
    rmdir "$TOP/$path" || fail "$path cannot be removed"
done
