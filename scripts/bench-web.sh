#!/bin/bash
# How fast are the pages? A real server on a real Postgres that is filled with fake jobs, asked at a fixed
# rate; prints p50, p95 and p99 of each page and of all of them mixed, and fails when a target is missed.
#
# JOBS=10000  RUNS=10000   jobs, and runs of the largest of them
# RATE=50  REQUESTS=500    requests in a second, and of each line
# PORT=8760                first port tried
# PROGRAM=path             program to measure [default: compiled here, release]
# KEEP=1                   leaves the filled server's state for the next time
set -euo pipefail
. "$(dirname "$0")/lib.sh"

JOBS=${JOBS:-10000}
RUNS=${RUNS:-10000}
RATE=${RATE:-50}
REQUESTS=${REQUESTS:-500}
DIR=$STATE/bench-web
DATA=$DIR/data
LOG_MIB=64
ASSET_KB=60
FAILED=0

"$ROOT/scripts/setup.sh"
if [ -z "${PROGRAM:-}" ]; then
    open_step 'compile, release' cargo build --manifest-path "$ROOT/Cargo.toml" --locked --release -p firstbad -p firstbad-bench
    PROGRAM=$TARGET/release/firstbad
fi
BENCH=${BENCH:-$TARGET/release/firstbad-bench}

server=
stop() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}
finish() {
    stop
    [ -n "${KEEP:-}" ] || rm -rf "$DIR"
}
trap finish EXIT

PORT=$(free_port "${PORT:-8760}")
URL=http://127.0.0.1:$PORT
start() {
    mkdir -p "$DATA"
    RUST_LOG=warn "$PROGRAM" server --data "$DATA" --listen "127.0.0.1:$PORT" >>"$DIR/server.log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
        curl -fsS -o /dev/null "$URL/healthz" 2>/dev/null && return
        kill -0 "$server" || die "the server ended; see $DIR/server.log"
        sleep 0.2
    done
    die "the server does not answer; see $DIR/server.log"
}

# Commits in a line whose subjects look like those of a kernel, a tag at every hundredth.
history() {
    awk 'BEGIN {
        split("btrfs ovl ext4 xfs mm sched net tcp bpf io_uring block nvme drm usb kvm x86 arm64 rcu vfs nfs", area, " ")
        split("fix avoid drop add use rework split simplify check remove", verb, " ")
        split("extent folio inode dentry queue page lock cgroup mount buffer ring iter timer irq skb", noun, " ")
        split("leak race overflow deadlock warning refcount alignment ordering rounding accounting", what, " ")
        for (n = 1; n <= 20000; n++) {
            a = area[n * 7 % 20 + 1]; v = verb[n * 3 % 10 + 1]; x = noun[n * 11 % 15 + 1]; w = what[n * 13 % 10 + 1]
            said = a ": " v " a " w " in " a "_" x "_" v n % 997 "()"
            at = 1700000000 + n * 60
            who = "Author " n % 311 " <author" n % 311 "@example.org> " at " +0000"
            printf "commit refs/heads/main\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n", n, who, who, length(said), said
            if (n > 1) printf "from :%d\n", n - 1
            printf "M 100644 inline file%d\ndata %d\n%d\n\n", n % 100, length(n "") + 1, n
            if (n % 100 == 1) printf "reset refs/tags/v%d\nfrom :%d\n\n", n, n
        }
    }'
}

# Where the private Postgres of the server is.
socket() { sed -n 5p "$DATA/postgres/data/postmaster.pid"; }

fill() {
    local repo=$DIR/linux
    git init -q -b main "$repo"
    history | git -C "$repo" fast-import --quiet
    export FIRSTBAD_SERVER=$URL FIRSTBAD_DATA=$DATA
    FIRSTBAD_TOKEN=$(cat "$DATA/token")
    export FIRSTBAD_TOKEN
    "$PROGRAM" tree add linux "$repo"
    "$PROGRAM" submit --tree linux --good v1 --bad v101 --suite btrfs/direct-io
    git -C "$repo" log --reverse --format='%H%x09%T%x09%an <%ae>%x09%s' main |
        psql -qX -h "$(socket)" -U firstbad -v "jobs=$JOBS" -v "runs=$RUNS" -f "$ROOT/scripts/bench-web.sql" firstbad
    large_log "$(psql -qXAt -h "$(socket)" -U firstbad -c "SELECT max(id) FROM attempt WHERE state = 'done'" firstbad)"
}

# The console of the last attempt: lines of a kernel, with errors among them.
large_log() {
    awk -v most=$((LOG_MIB << 20)) 'BEGIN {
        while (said < most) {
            line = sprintf("[%12.6f] btrfs: line %d of a long console, nothing to see here", n / 1000, n)
            if (n % 5000 == 4999) line = sprintf("[%12.6f] WARNING: CPU: 0 PID: 1 at fs/btrfs/fake.c:%d", n / 1000, n)
            print line
            said += length(line) + 1; n++
        }
    }' | head -c $((LOG_MIB << 20)) >"$DATA/logs/$1-1-console.log"
    printf '%s\n' "$1" >"$DIR/large-attempt"
}

if [ -e "$DIR/filled" ]; then
    start
else
    rm -rf "$DIR"
    mkdir -p "$DATA/logs" "$DIR"
    start
    step 'fill' fill
    stop
    touch "$DIR/filled"
    start
    # Once more, now that no older transaction sees the rows as new: as they are after a while.
    psql -qX -h "$(socket)" -U firstbad -c 'VACUUM ANALYZE' firstbad
fi
large=$(cat "$DIR/large-attempt")
sleep 3

# measure RATE REQUESTS OPTION... PAGE...
measure() { "$BENCH" --url "$URL" --rate "$1" --requests "$2" "${@:3}" || FAILED=1; }

printf '%-16s %8s %8s %8s %8s %8s %5s\n' "page, ms" p50 p95 p99 target KiB n
measure "$RATE" "$REQUESTS" --most-ms 100 --title "mix at $RATE/s" \
    home=/ \
    'filtered home=/?outcome=culprit&tree=linux&signal=failure' \
    'page of a group=/?group=answered&cursor=b{100-9000}' \
    'search=/?q=btrfs_extent' \
    'frequent word=/?q=fix' \
    'no such word=/?q=nothinglikeit' \
    'job=/jobs/{105-9800/10}' \
    'attempt=/attempts/{10-80000/180}' \
    workers=/workers surveys=/surveys trees=/trees \
    'list, JSON=/api/v1/jobs?limit=50'
# Once before: what its runs saw is read then, and kept.
measure 1 1 --most-ms 3000 "it, not yet read=/jobs/$((JOBS - 1))"
measure 2 20 --most-ms 300 "large job=/jobs/$((JOBS - 1))"
measure 2 20 --most-ms 1000 "large log=/attempts/$large/log/console"
measure 1 10 --most-ms 1000 "its search=/attempts/$large/log/console?list=errors"

bytes=$(for file in "$ROOT"/static/*.css "$ROOT"/static/*.js; do gzip -9c "$file"; done | wc -c)
printf '%s\n' "CSS and JS: $bytes bytes gz, target $((ASSET_KB * 1000))"
[ "$bytes" -le $((ASSET_KB * 1000)) ] || FAILED=1
exit "$FAILED"
