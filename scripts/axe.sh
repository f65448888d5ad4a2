#!/bin/bash
# Prints where axe-core is, for tests of the pages; fetches it once.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

VERSION=0.1.8
SHA256=84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc
OUT=$STATE/axe-$VERSION.js

if [ ! -e "$OUT" ]; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    # A package that carries the one file of axe-core; nothing of it is run.
    python3 -m pip --quiet download --no-deps --dest "$dir" "axe-playwright-python==$VERSION" >&2
    python3 - "$dir"/*.whl "$dir/axe.js" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2], "wb") as out:
    out.write(wheel.read("axe_playwright_python/axe.min.js"))
PY
    sha256sum --quiet --check <<<"$SHA256  $dir/axe.js" >&2
    mv "$dir/axe.js" "$OUT"
fi
printf '%s\n' "$OUT"
