. "${0%/*}/cut.sh"
# The log is shared: whoever syncs first may write for the others.
record -o commit=1
for label in a b c; do
    fbtool power-work fsync "$MNT/$label" "$label" "$SEED" 80 >"/tmp/work.$label" 2>&1 &
    pids="${pids:-} $!"
done
for pid in $pids; do wait "$pid" || { cat /tmp/work.*; fail "a writer"; }; done
cat /tmp/work.*
recorded
cuts parallel fsync 80 a b c
