# Helpers of the cgroup cases; sourced, not run.
set -eu
TOP=/sys/fs/cgroup/limits
fail() { echo "FAIL: $*"; exit 1; }

# A broken kernel must read as a failure, and nothing may stay for the next case.
on_exit() {
    code=$?
    if [ -d "$TOP" ]; then
        echo 1 >"$TOP/cgroup.kill" || true
        tries=0
        while [ -n "$(find "$TOP" -name cgroup.procs -exec cat {} +)" ] && [ "$tries" -lt 100 ]; do
            usleep 20000
            tries=$((tries + 1))
        done
        find "$TOP" -depth -type d -exec rmdir {} \; || code=1
    fi
    [ "$code" -lt 125 ] || { echo "a command ended with $code"; code=1; }
    exit "$code"
}
trap on_exit EXIT

# A group below TOP with the controllers that are needed.
for controller in memory pids cpu; do
    grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || { echo "no controller $controller"; exit 125; }
done
echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control
mkdir "$TOP"
echo '+memory +pids +cpu' >"$TOP/cgroup.subtree_control"
group() { mkdir -p "$TOP/$1"; }

# `inside GROUP COMMAND...`: runs it in the group.
inside() {
    where=$TOP/$1
    shift
    sh -c 'echo 0 >"$0/cgroup.procs" && exec "$@"' "$where" "$@"
}
value() { awk -v k="$2" '$1 == k { print $2 }' "$TOP/$1"; }

until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "never true: $*"
        usleep 20000
    done
}
