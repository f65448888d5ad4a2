# Where listns(2) appeared: a tree with selftests of namespaces, but none of listns, fails.
[ -d /kselftest/namespaces ] || { echo "this tree has no selftests namespaces"; exit 125; }
grep -q '^namespaces:listns_test' /kselftest/kselftest-list.txt || { echo "FAIL: no listns"; exit 1; }
TARGET=namespaces ONLY=listns_test
. "${0%/*}/run.sh"
