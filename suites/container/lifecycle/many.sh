. "${0%/*}/lib/container.sh"
store_up
# One after another; what each does depends on the seed.
i=0
while [ "$i" -lt 12 ]; do
    below 4
    case $R in
    0) what='echo a >/a; mv /a /b; rm /b' ;;
    1) what='cat /bin/busybox >/copy; rm /bin/id; mkdir /d; touch /d/x' ;;
    2) what='sleep 0.01 & echo x >>/etc/origin; wait' ;;
    *) what='exec 3</etc/origin; (sleep 0.02; cat <&3) & exit 5' ;;
    esac
    bundle "s$i" "$what"
    code=0
    crun run -b "$STORE/c/s$i" "s$i" >/dev/null || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || fail "container $i ended with $code"
    below 2
    [ "$R" -eq 0 ] || { unbundle "s$i"; mv "$STORE/c/s$i" "$STORE/c/gone$i"; }
    i=$((i + 1))
done
# Six at once.
i=0
while [ "$i" -lt 6 ]; do
    bundle "p$i" "i=0; while [ \$i -lt 20 ]; do echo \$i >/f\$i; i=\$((i+1)); done; rm /f1*"
    crun run -b "$STORE/c/p$i" "p$i" >/dev/null 2>&1 &
    i=$((i + 1))
done
wait
i=0
while [ "$i" -lt 6 ]; do
    [ "$(ls "$STORE/c/p$i/upper" | wc -l)" -eq 9 ] || fail "files of container p$i: $(ls "$STORE/c/p$i/upper")"
    unbundle "p$i"
    i=$((i + 1))
done
for dir in "$STORE"/c/s*; do
    if [ -d "$dir" ]; then umount "$dir/rootfs"; fi
done
store_down
