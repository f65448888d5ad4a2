. "${0%/*}/idmap.sh"
store_up
DATA=$STORE/data
files
chmod 777 "$DATA"
mapped low 1000 'i=0; while [ $i -lt 30 ]; do echo $i >/data/low$i; i=$((i+1)); done; busybox stat -c %u /data/1000'
mapped high 996 'i=0; while [ $i -lt 30 ]; do echo $i >/data/high$i; i=$((i+1)); done; busybox stat -c %u /data/1000'
enter low >/tmp/low 2>&1 &
enter high >/tmp/high 2>&1 &
wait
[ "$(cat /tmp/low)" = 0 ] || { cat /tmp/low; fail "the first container"; }
[ "$(cat /tmp/high)" = 4 ] || { cat /tmp/high; fail "the second container"; }
i=0
while [ "$i" -lt 30 ]; do
    [ "$(owner "low$i")" = 1000:1000 ] || fail "low$i belongs to $(owner "low$i")"
    [ "$(owner "high$i")" = 996:996 ] || fail "high$i belongs to $(owner "high$i")"
    i=$((i + 1))
done
unbundle low
unbundle high
store_down
