#!/bin/bash
# WSL2's configuration for real: a source release from Debian's archive, built with it
# and presets/wsl2.config, booted, and two suites in it. Exit 0 only if every case
# passed. A big build, so not a part of `make test`.
#
# CONFIG=FILE          the configuration, such as Microsoft/config-wsl of WSL2-Linux-Kernel
#                      [default: ../shared/data/config-wsl-6.18, which is that of the public
#                      xanmod-kernel-WSL2, kept in step with Microsoft's]
# RELEASE=source/…     what is built [default: the newest source/6.18.* there is]
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$ROOT/scripts/scenario.sh"

CONFIG=${CONFIG:-$ROOT/../shared/data/config-wsl-6.18}
FRAGMENT=$ROOT/presets/wsl2.config
DATA=$STATE/wsl2
SUITES='btrfs/smoke container/lifecycle'
[ -r "$CONFIG" ] || die "CONFIG: cannot read $CONFIG; name WSL2's own configuration, the file" \
    "Microsoft/config-wsl of https://github.com/microsoft/WSL2-Linux-Kernel"

# of_attempts FILTER: what jq makes of each attempt that `attempts --json` tells, without what is null.
of_attempts() { jq -r ".[] | $1 | select(. != null)" "$STATE/log/wsl2-attempts"; }
of_builds() { of_attempts "select(.kind == \"build\") | $1"; }
of_tests() { of_attempts "select(.kind == \"test\") | $1"; }

# newest: the largest of the times given one a line, as seconds.
newest() { sort | tail -n 1 | xargs -r -I{} date -d {} +%s; }

began=$SECONDS
"$ROOT/scripts/setup.sh"
set_up=$((SECONDS - began))

mark=$SECONDS
open_step 'compile firstbad' build_all
compile=$((SECONDS - mark))

asked=$(date +%s)
trap up_stop EXIT
up_start "$DATA"
step 'lists of the archive' tree_ready debian debian:sid,trixie-backports
RELEASE=${RELEASE:-$(git -C "$DATA/trees/debian.git" tag --list 'source/6.18.*' --sort=version:refname | tail -n 1)}
[ -n "$RELEASE" ] || die 'RELEASE: the archive has no source/6.18.* now; name another release'
echo "$RELEASE is fetched, built and booted; its build log: $DATA/logs"
suites=()
for suite in $SUITES; do
    suites+=(--suite "$suite")
done
timeout --foreground 7200 "$FIRSTBAD" survey run --tree debian --releases "$RELEASE" "${suites[@]}" \
    --runs 1 --config "$CONFIG" --fragment "$FRAGMENT" --title "WSL2's configuration on $RELEASE" \
    --wait --json >"$STATE/log/wsl2-survey"

survey=$(jq .survey.id "$STATE/log/wsl2-survey")
: >"$STATE/log/wsl2-attempts"
for job in $(jq '.survey.jobs[]' "$STATE/log/wsl2-survey"); do
    "$FIRSTBAD" attempts "$job" --json >>"$STATE/log/wsl2-attempts"
done

echo
echo 'symbols that the fragments changed in the configuration:'
built=$(of_builds '(.artefacts[] | select(.name == "config") | .sha256)' | head -n 1)
if [ -n "$built" ]; then
    awk -f "$ROOT/scripts/symbols.awk" "$CONFIG" "$ROOT/suites/kernel.config" "$FRAGMENT" \
        "$DATA/artefacts/${built:0:2}/$built"
else
    echo '  none are known: it was not built'
fi

echo
"$FIRSTBAD" survey show "$survey" --csv | tee "$STATE/log/wsl2-csv" | awk -F, '{ print "  " $1, $2, $NF }'
passed=$(grep -c ',pass$' "$STATE/log/wsl2-csv") || true
cases=$(for suite in $SUITES; do cat "$ROOT/suites/$suite/suite.toml"; done | grep -c '^\[\[case\]\]')
echo "$passed of $cases cases passed"

# What an earlier run did is not done again, and took no time now.
start=$(of_builds .started_at | newest) built=$(of_builds .ended_at | newest)
tested=$(of_tests .ended_at | newest)
since() { echo $(($1 > $2 ? $1 - $2 : 0)); }
printf 'wall time   %d s: set-up %d s, compile %d s, fetch %d s, build %d s, tests %d s\n' \
    $((SECONDS - began)) "$set_up" "$compile" "$(since "${start:-0}" "$asked")" \
    "$(since "${built:-0}" "$((start > asked ? start : asked))")" \
    "$(since "${tested:-0}" "$((built > asked ? built : asked))")"
[ "$passed" -eq "$cases" ]
