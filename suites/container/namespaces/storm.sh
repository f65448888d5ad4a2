. "${0%/*}/ns.sh"
dmesg -c >/dev/null
worker=0
while [ "$worker" -lt 4 ]; do
    ( n=0
      while [ "$n" -lt 40 ]; do
          case $(((FIRSTBAD_SEED + worker + n) % 5)) in
          0) unshare -m -u -i -n -p -f true ;;
          1) unshare -U -r -m sh -c 'mount -t tmpfs x /mnt; touch /mnt/f' ;;
          2) unshare -p -f -m --mount-proc sh -c 'sleep 3000 & true' ;;
          3) unshare -n -u unshare -n -u true ;;
          4) unshare -i -m sh -c 'mount -t mqueue q /mnt; touch /mnt/q' ;;
          esac
          n=$((n + 1))
      done ) &
    worker=$((worker + 1))
done
wait
until_true sh -c '! ps -o args | grep -q "^sleep 3000"'
if grep -E ' /mnt ' /proc/mounts; then fail "a mount is left"; fi
dmesg >/tmp/dmesg.log
if grep -E 'WARNING|BUG|Busy inodes|leaked' /tmp/dmesg.log; then fail "the kernel complains"; fi
