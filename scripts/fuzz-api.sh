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

# Something to be asked about: a tree, and a job in it.
export FIRSTBAD_SERVER=$URL FIRSTBAD_DATA=$DIR/data
FIRSTBAD_TOKEN=$(cat "$DIR/data/token")
export FIRSTBAD_TOKEN
git init -q -b main "$DIR/linux"
for n in 1 2 3 4; do
    echo "$n" >"$DIR/linux/file"
    git -C "$DIR/linux" add file
    git -C "$DIR/linux" -c user.name=a -c user.email=a@example.org commit -q -m "commit $n"
done
git -C "$DIR/linux" tag v6.18 HEAD~3
git -C "$DIR/linux" tag v7.2
"$PROGRAM" tree add linux "$DIR/linux"
"$PROGRAM" submit --tree linux --good v6.18 --bad v7.2 --suite btrfs/smoke

# A request that fits the description may be refused for what it is about: an unknown tree, a past state.
cat >"$DIR/schemathesis.toml" <<TOML
[checks.positive_data_acceptance]
expected-statuses = ["2XX", "304", "401", "403", "404", "409", "422"]
TOML
# Who revokes the token that it asks with, or waits for the end of jobs, learns little more.
cat >"$DIR/hooks.py" <<'PY'
import os
import schemathesis

OURS = os.environ["FIRSTBAD_TOKEN"].split("_")[1]


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path == "/api/v1/tokens/{id}" and case.path_parameters.get("id") == OURS:
        case.path_parameters["id"] = "0"
    wait = (case.query or {}).get("wait")
    if isinstance(wait, int) and 2 < wait <= 300:
        case.query["wait"] = 2
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
