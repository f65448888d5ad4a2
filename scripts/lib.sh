# Helpers of the scripts beside this file; sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${FIRSTBAD_STATE:-$ROOT/.state}
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
FIRSTBAD=$TARGET/debug/firstbad
DEMO=$TARGET/debug/firstbad-demo
GUEST_TARGET=x86_64-unknown-linux-gnu
GUEST_DIR=$TARGET/$GUEST_TARGET/release
SOURCE=/usr/src/linux-source-6.12.tar.xz

# What steps took.
TOOK=

mkdir -p "$STATE/log"

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# step NAME COMMAND...: runs it with its output in a log, prints one line with the
# seconds it took, and the end of the log when it fails.
step() {
    local name=$1 log began=$SECONDS code=0
    shift
    log=$STATE/log/${name//[^a-z0-9]/-}.log
    printf '%-28s ' "$name"
    "$@" >"$log" 2>&1 </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        printf 'FAILED after %d s (%s)\n' $((SECONDS - began)) "$log"
        tail -n 60 "$log" >&2
        return "$code"
    fi
    printf '%4d s\n' $((SECONDS - began))
    TOOK+=", $name $((SECONDS - began)) s"
}

# open_step NAME COMMAND...: the same, for what shows its own progress. Begins with what the steps
# before it took: where all of it is stopped, the end of its output tells what was slow.
open_step() {
    local name=$1 began=$SECONDS code=0
    shift
    printf '%s ...%s\n' "$name" "${TOOK:+ (so far: ${TOOK#, })}"
    "$@" </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        printf '%-28s FAILED after %d s\n' "$name" $((SECONDS - began)) >&2
        return "$code"
    fi
    printf '%-28s %4d s\n' "$name" $((SECONDS - began))
    TOOK+=", $name $((SECONDS - began)) s"
}

# Builds server, worker, command line and demo, then the static PID 1.
build_all() {
    cd "$ROOT" || return
    cargo build --locked -p firstbad -p firstbad-demo &&
        RUSTFLAGS='-C target-feature=+crt-static' \
            cargo build --locked --release --target "$GUEST_TARGET" -p firstbad-guest
}

# The first port from $1 on that nobody listens on.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
    printf '%s\n' "$port"
}

# browser_account ROLE: an account on the server of up_start for who uses its pages, named
# "browser"; prints the file with its password.
browser_account() {
    local file=$STATE/browser-password
    [ -e "$file" ] || (umask 077 && head -c 18 /dev/urandom | base64 >"$file")
    "$FIRSTBAD" user add browser --role "$1" <"$file" >&2 || {
        "$FIRSTBAD" user enable browser >&2
        "$FIRSTBAD" user role browser "$1" >&2
        "$FIRSTBAD" user password browser <"$file" >&2
    }
    printf '%s\n' "$file"
}

# need_kernel: KERNEL is the tests' own, built with everything that is missing, unless it is given.
need_kernel() {
    [ -z "${KERNEL:-}" ] || return 0
    "$ROOT/scripts/setup.sh"
    open_step 'compile firstbad' build_all
    step 'test kernel' "$ROOT/scripts/test-kernel.sh"
    KERNEL=$STATE/test-kernel/bzImage
}
