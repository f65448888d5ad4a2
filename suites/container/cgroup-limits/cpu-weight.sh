. "${0%/*}/group.sh"
group low
group high
echo 100 >"$TOP/low/cpu.weight"
echo 300 >"$TOP/high/cpu.weight"
for name in low low high; do
    inside "$name" taskset 1 sh -c 'while :; do :; done' &
done
usleep 200000
low=$(value low/cpu.stat usage_usec)
high=$(value high/cpu.stat usage_usec)
usleep 1500000
low=$(($(value low/cpu.stat usage_usec) - low))
high=$(($(value high/cpu.stat usage_usec) - high))
echo 1 >"$TOP/low/cgroup.kill"
echo 1 >"$TOP/high/cgroup.kill"
echo "low $low us, high $high us"
ratio=$((high * 100 / low))
echo "::metric name=cpu_share_ratio value=$((ratio / 100)).$(printf %02d $((ratio % 100))) unit=x better=higher"
[ "$ratio" -ge 255 ] && [ "$ratio" -le 345 ] || fail "shares of one to $ratio/100 instead of one to three"
wait || true
