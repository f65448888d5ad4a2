. "${0%/*}/group.sh"
group parent
echo '+memory' >"$TOP/parent/cgroup.subtree_control"
group parent/a
group parent/b
mkdir -p /mnt/test
mount -t tmpfs t /mnt/test
inside parent/a dd if=/dev/zero of=/mnt/test/a bs=1M count=12 2>/dev/null
inside parent/b dd if=/dev/zero of=/mnt/test/b bs=1M count=4 2>/dev/null
a=$(value parent/a/memory.stat shmem)
b=$(value parent/b/memory.stat shmem)
both=$(value parent/memory.stat shmem)
[ "$a" -eq 12582912 ] || fail "$a bytes of tmpfs charged to the one that wrote 12 MiB"
[ "$b" -eq 4194304 ] || fail "$b bytes of tmpfs charged to the one that wrote 4 MiB"
[ "$both" -eq "$((a + b))" ] || fail "the parent has $both, its children $a and $b"
# Reading does not move the charge.
inside parent/b cat /mnt/test/a >/dev/null
[ "$(value parent/a/memory.stat shmem)" -eq "$a" ] || fail "the charge moved to a reader"
rm /mnt/test/a
[ "$(value parent/a/memory.stat shmem)" -eq 0 ] || fail "$(value parent/a/memory.stat shmem) bytes are still charged"
# A removed group leaves its charge to the parent.
rmdir "$TOP/parent/b"
[ "$(value parent/memory.stat shmem)" -eq "$b" ] || fail "a removed group took its charge along"
umount /mnt/test
[ "$(value parent/memory.stat shmem)" -eq 0 ] || fail "the parent is still charged"
