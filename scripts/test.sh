#!/bin/bash
# Every test: format, lints, unit, property, SQL, HTTP, a booted kernel, one whole
# bisection with real builds, and its pages in a browser. Sets up what it needs itself.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

began=$SECONDS
open_step 'set-up' "$ROOT/scripts/setup.sh"
cd "$ROOT"
step 'format' cargo fmt --all --check
open_step 'lints' cargo clippy --locked --workspace --all-targets -- -D warnings
open_step 'compile firstbad' build_all
step 'test kernel' "$ROOT/scripts/test-kernel.sh"

export FIRSTBAD_TEST_BZIMAGE=$STATE/test-kernel/bzImage
export FIRSTBAD_TEST_GUEST_DIR=$GUEST_DIR
FIRSTBAD_TEST_PYTHON=$("$ROOT/scripts/python.sh")
export FIRSTBAD_TEST_PYTHON
if cargo nextest --version >/dev/null 2>&1; then
    open_step 'tests' cargo nextest run --locked --workspace --no-fail-fast
else
    open_step 'tests' cargo test --locked --workspace --no-fail-fast
fi
open_step 'whole bisection' "$ROOT/scripts/test-bisection.sh"
DATA=$STATE/test-data open_step 'pages in a browser' "$ROOT/scripts/screenshots.sh"
printf 'all tests passed in %d s\n' $((SECONDS - began))
