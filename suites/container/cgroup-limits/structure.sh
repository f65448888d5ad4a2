. "${0%/*}/group.sh"
group deep
echo 2 >"$TOP/deep/cgroup.max.depth"
mkdir -p "$TOP/deep/1/2"
if mkdir "$TOP/deep/1/2/3" 2>/dev/null; then fail "deeper than cgroup.max.depth"; fi
group many
echo 3 >"$TOP/many/cgroup.max.descendants"
mkdir "$TOP/many/1" "$TOP/many/2" "$TOP/many/3"
if mkdir "$TOP/many/4" 2>/dev/null; then fail "more than cgroup.max.descendants"; fi
rmdir "$TOP/many/2"
mkdir "$TOP/many/4" || fail "a removed group still counts"
[ "$(value many/cgroup.stat nr_descendants)" -eq 3 ] || fail "nr_descendants"
# A group with controllers for its children takes no processes itself.
group inner
mkdir "$TOP/inner/leaf"
echo '+memory' >"$TOP/inner/cgroup.subtree_control"
sleep 1000 &
if echo "$!" >"$TOP/inner/cgroup.procs" 2>/dev/null; then fail "a process in an inner group"; fi
echo "$!" >"$TOP/inner/leaf/cgroup.procs" || fail "no process in a leaf"
if rmdir "$TOP/inner/leaf" 2>/dev/null; then fail "a group with a process in it was removed"; fi
kill -KILL "$!"
wait || true
# A process moves with its children-to-be, and back.
group one
group two
inside one sh -c 'echo 0 >/sys/fs/cgroup/limits/two/cgroup.procs; sh -c "cat /proc/self/cgroup"' >/tmp/where
[ "$(cat /tmp/where)" = '0::/limits/two' ] || fail "a child is in $(cat /tmp/where)"
