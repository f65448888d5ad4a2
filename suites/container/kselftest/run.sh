# Runs the selftests of one target, which is the case's name unless $TARGET says otherwise.
# Every program is one result with the results it printed below it. What the tree or the
# worker does not have is skipped.
set -eu
TARGET=${TARGET:-$FIRSTBAD_CASE}
ONLY=${ONLY:-}
list=/kselftest/kselftest-list.txt
tests=$(sed -n "s|^$TARGET:||p" "$list" 2>/dev/null | grep -E "^($ONLY)" || true)
echo "KTAP version 1"
if [ -z "$tests" ]; then
    echo "1..0 # SKIP this tree has no selftests $TARGET${ONLY:+ ($ONLY)}"
    exit 125
fi
echo "1..$(echo "$tests" | wc -l)"
cd "/kselftest/$TARGET"
number=0
failed=0
for test in $tests; do
    number=$((number + 1))
    if [ ! -x "$test" ]; then
        echo "ok $number $test # SKIP was not built"
        continue
    fi
    if head -c 2 "$test" | grep -q '#!' && ! head -n 1 "$test" | grep -qE '^#! ?(/usr)?/bin/(env )?sh( |$)'; then
        echo "ok $number $test # SKIP the guest has no $(head -n 1 "$test")"
        continue
    fi
    code=0
    "./$test" >/tmp/out 2>&1 </dev/null || code=$?
    tr -cd '\t\n -~' </tmp/out | sed 's/^/    /'
    case $code in
    0) echo "ok $number $test" ;;
    4) echo "ok $number $test # SKIP" ;;
    *) echo "not ok $number $test # ended with $code"; failed=1 ;;
    esac
done
exit "$failed"
