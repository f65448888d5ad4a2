# Helpers of the namespace cases; sourced, not run.
set -eu
fail() { echo "FAIL: $*"; exit 1; }
on_exit() {
    code=$?
    [ "$code" -lt 125 ] || { echo "a command ended with $code"; code=1; }
    exit "$code"
}
trap on_exit EXIT

# `is WHAT FOUND WANTED`.
is() { [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"; }

# Waits until the command is true, at most two seconds.
until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "never true: $*"
        usleep 20000
    done
}
