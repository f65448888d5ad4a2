#!/bin/bash
# Asks a real server everything that its own description of the API allows, and much that it does not
# (schemathesis, all checks, with what was made before): no answer may be a 5xx or another than described.
#
# The stream of events, which does not end, is left out.
#
# SECONDS_IN_ALL=600   SEED=1   OPTIONS='…' more options of `schemathesis run`
set -euo pipefail
. "$(dirname "$0")/lib.sh"

VERSION=4.32.5
FOR=${SECONDS_IN_ALL:-600}
DIR=$STATE/fuzz
PACKAGES=$STATE/schemathesis-$VERSION

"$ROOT/scripts/setup.sh"
if [ -z "${PROGRAM:-}" ]; then
    open_step 'compile firstbad' cargo build --manifest-path "$ROOT/Cargo.toml" --locked -p firstbad
    PROGRAM=$FIRSTBAD
fi
if [ ! -e "$PACKAGES/.complete" ]; then
    rm -rf "$PACKAGES"
    step 'schemathesis' /usr/bin/python3 -m pip install --quiet --target "$PACKAGES" "schemathesis==$VERSION"
    touch "$PACKAGES/.complete"
fi

server=
finish() {
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
}
trap finish EXIT
rm -rf "$DIR"
mkdir -p "$DIR/data"
PORT=$(free_port 8790)
URL=http://127.0.0.1:$PORT
RUST_LOG=warn "$PROGRAM" server --data "$DIR/data" --listen "127.0.0.1:$PORT" >"$DIR/server.log" 2>&1 &
server=$!
for _ in $(seq 300); do
    curl -fsS -o /dev/null "$URL/healthz" 2>/dev/null && break
    kill -0 "$server" || die "the server ended; see $DIR/server.log"
    sleep 0.2
done

# Something to be asked about: a tree, jobs that found something and their runs (fake ones, as of
# scripts/bench-web.sh), a series, a survey, a rule with heads and a regression, webhooks and a Patchwork.
export FIRSTBAD_SERVER=$URL FIRSTBAD_DATA=$DIR/data
FIRSTBAD_TOKEN=$(cat "$DIR/data/token")
export FIRSTBAD_TOKEN
JOBS=100
git init -q -b main "$DIR/linux"
for n in $(seq 400); do
    who="A <a@example.org> $((1700000000 + n * 60)) +0000"
    printf 'commit refs/heads/main\nauthor %s\ncommitter %s\ndata 10\ncommit %03d\n' "$who" "$who" "$n"
    [ "$n" != 1 ] || printf 'M 100644 inline Kconfig\ndata 26\nconfig BTRFS_FS\n\tbool "b"\n\n'
    printf 'M 100644 inline file\ndata 4\n%03d\n\n' "$n"
done | git -C "$DIR/linux" fast-import --quiet
git -C "$DIR/linux" tag v6.18 main~150
git -C "$DIR/linux" tag v7.2 main
# give PATH BODY: creates something.
give() {
    curl -fsS -o "$DIR/given" -H "Authorization: Bearer $FIRSTBAD_TOKEN" -H 'Content-Type: application/json' \
        --data-binary "$2" "$URL/api/v1$1"
}
fill() {
    "$PROGRAM" tree add linux "$DIR/linux"
    "$PROGRAM" submit --tree linux --good v6.18 --bad v7.2 --suite btrfs/direct-io
    local socket
    socket=$(sed -n 5p "$DIR/data/postgres/data/postmaster.pid")
    git -C "$DIR/linux" log --reverse --format='%H%x09%T%x09%an <%ae>%x09%s' main |
        psql -qX -h "$socket" -U firstbad -v "jobs=$JOBS" -v runs=100 -f "$ROOT/scripts/bench-web.sql" firstbad
    "$PROGRAM" rule add smoke --tree linux --refs '*' --suite btrfs/smoke >"$DIR/rule"
    git -C "$DIR/linux" format-patch -q --stdout --thread main~3 >"$DIR/series.mbox"
    give /trees/linux/series "$(/usr/bin/python3 -c 'import json, sys
print(json.dumps({"base": "main~3", "mbox": open(sys.argv[1]).read()}))' "$DIR/series.mbox")"
    give /webhooks '{"url": "https://ci.example.org/firstbad"}'
    give /webhooks '{"url": "https://patchwork.example.org/", "patchwork": {"token": "0123456789abcdef"}}'
    give /users '{"name": "alice", "role": "viewer", "password": "a long password"}'
    # The files of the runs, by which they can be run again.
    local name sha
    for name in bzImage initramfs-base.cpio initramfs-run.cpio; do
        sha=$(printf '%s\n' "$name" | sha256sum | cut -d ' ' -f 1)
        mkdir -p "$DIR/data/artefacts/${sha:0:2}"
        printf '%s\n' "$name" >"$DIR/data/artefacts/${sha:0:2}/$sha"
        [ "$name" != bzImage ] || printf '%s\n' "$sha" >"$DIR/image"
        printf '%s\t%s\n' "$name" "$sha"
    done | psql -qX -h "$socket" -U firstbad -f "$ROOT/scripts/fuzz-api.sql" firstbad
}
step 'fill' fill
# What there is of each kind is there, or what is asked below says nothing.
for path in jobs/4/kcidb jobs/4/junit jobs/4/metric jobs/4/known jobs/4/bisect-log jobs/4/report.eml \
    attempts/5/reproduce.tar regressions/1 surveys/1 'patches?message_id=none'; do
    curl -fsS -o "$DIR/given" -H "Authorization: Bearer $FIRSTBAD_TOKEN" "$URL/api/v1/$path" || die "/$path is not there"
done
for path in rules rules/1/heads regressions webhooks webhooks/1/deliveries surveys users; do
    curl -fsS -H "Authorization: Bearer $FIRSTBAD_TOKEN" "$URL/api/v1/$path" | grep -q '"' || die "/$path is empty"
done

# A request that fits the description may be refused for what it is about: an unknown tree, a past state.
cat >"$DIR/schemathesis.toml" <<TOML
[checks.positive_data_acceptance]
expected-statuses = ["2XX", "304", "401", "403", "404", "409", "422"]
TOML
# Who revokes the token that it asks with, or waits for the end of jobs, learns little more. What is made up
# and fits the description becomes, most of the time, a number or name of something that is there; a service
# signs its push.
cat >"$DIR/hooks.py" <<'PY'
import atexit
import hashlib
import os
import subprocess
import uuid
import schemathesis

OURS = os.environ["FIRSTBAD_TOKEN"].split("_")[1]
SECRET = open("rule").read().split("shown again: ")[1].split()[0]
REV = subprocess.check_output(["git", "-C", "linux", "rev-parse", "main~200"], text=True).strip()
# How many there are, at least.
THERE = {"jobs": 100, "attempts": 800, "rules": 1, "triggers": 1, "hooks": 1, "regressions": 2, "surveys": 50, "webhooks": 2}
NAMES = {"/trees/{name}": "linux", "{rev}": REV, "{sha256}": open("image").read().strip(), "/log/{name}": "console",
         "/users/{name}": "alice", "/workers/{id}": str(uuid.UUID(hashlib.md5(b"fake1").hexdigest()))}
FIELDS = {"tree": "linux", "suite": "btrfs/smoke", "bad": "v7.2", "good": ["v6.18"], "base": "main~3", "ref": "main", "rev": REV,
          "suites": ["btrfs/smoke"], "releases": ["v6.18", "v7.2"], "mbox": open("series.mbox").read(), "skip": [], "only": []}
# What nobody makes up.
BODIES = {
    "/api/v1/campaigns": {
        "contract_version": "campaign-request/v1", "regression_type": "unit_test",
        "source_tree": {"url": os.path.abspath("linux")},
        "boundaries": {"good": {"commit": "v6.18"}, "bad": {"commit": "v7.2"}},
        "scope": {"workload": {"name": "btrfs/direct-io"}},
        "expected_signal": {"type": "test_failure", "signature": "unaligned"},
        "search_policy": {"type": "bisect", "parameters": {}},
    },
    "/api/v1/trees/{name}/configs": {"good": "# CONFIG_BTRFS_FS is not set\n", "bad": "CONFIG_BTRFS_FS=y\n"},
    "/api/v1/surveys/{id}/releases": {"releases": ["v6.18"]},
    "/api/v1/users": {"name": "bob", "password": "a long password"},
}


def real(case):
    path, ids = case.operation.path, case.path_parameters or {}
    kind = path.split("/")[3]
    if kind in THERE and str(ids.get("id")).lstrip("-").isdigit():
        ids["id"] = 1 + int(ids["id"]) % THERE[kind]
    for part, name in NAMES.items():
        if part in path:
            ids[part.split("{")[1].split("}")[0]] = name
    for name, value in FIELDS.items():
        if isinstance(case.body, dict) and type(case.body.get(name)) is type(value):
            case.body[name] = value
        if case.query and name in case.query:
            case.query[name] = value
    if isinstance(case.body, dict):
        case.body = {**case.body, **BODIES.get(path, {})}


calls = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    global calls
    calls += 1
    meta = case.meta
    made_up = meta and meta.generation.mode.is_positive and meta.phase.name.value in ("examples", "coverage", "fuzzing")
    if made_up and case.method != "DELETE" and calls % 4:
        real(case)
        if case.operation.path == "/api/v1/hooks/gitlab/{id}":
            case.headers.update({"X-Gitlab-Token": SECRET, "X-Gitlab-Event": "Push Hook", "X-Gitlab-Event-UUID": str(calls)})
            case.body = {**case.body, "ref": "refs/heads/main", "after": REV}
    if case.operation.path == "/api/v1/tokens/{id}" and (case.path_parameters or {}).get("id") == OURS:
        case.path_parameters["id"] = "0"
    wait = (case.query or {}).get("wait")
    if isinstance(wait, int) and 2 < wait <= 300:
        case.query["wait"] = 2


asked, done = set(), set()


@schemathesis.hook
def after_call(context, case, response):
    asked.add(case.operation.label)
    if response.status_code < 300:
        done.add(case.operation.label)


@atexit.register
def tell():
    if asked:
        print("operations that were asked:", len(asked), "and of these never did anything:", sorted(asked - done))
PY
code=0
# fuzz SECONDS TOKEN OPTION...
fuzz() {
    (cd "$DIR" && PYTHONPATH=$PACKAGES SCHEMATHESIS_HOOKS=hooks /usr/bin/python3 -m schemathesis.cli \
        --config-file schemathesis.toml run "$URL/api/v1/openapi.json" --checks all \
        --phases examples,coverage,fuzzing,stateful --max-time "$1" --seed "${SEED:-1}" --request-timeout 60 \
        --warnings off -H "Authorization: Bearer $2" "${@:3}") || code=$?
}
# shellcheck disable=SC2086 # options are words
fuzz $((FOR * 9 / 10)) "$FIRSTBAD_TOKEN" --exclude-tag 'for workers' --exclude-path /api/v1/live ${OPTIONS:-}
# shellcheck disable=SC2086
fuzz $((FOR / 10)) "$(cat "$DIR/data/worker-token")" --include-tag 'for workers' ${OPTIONS:-}
grep -c 'ERROR' "$DIR/server.log" | sed 's/^/errors in the server'"'"'s log: /' || true
exit "$code"
