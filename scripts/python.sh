#!/bin/bash
# Prints a Python that has what tests compare with: kcidb-io (KCIDB's published schema) and b4.
# Installs both once, beside the state of everything else; they are part of no program of ours.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

PACKAGES=(kcidb-io==141 b4==0.16.0)
OUT=$STATE/python

if [ ! -e "$OUT/${PACKAGES[*]}" ]; then
    rm -rf "$OUT"
    python3 -m venv "$OUT" >&2
    "$OUT/bin/python3" -m pip --quiet install "${PACKAGES[@]}" >&2
    touch "$OUT/${PACKAGES[*]}"
fi
printf '%s\n' "$OUT/bin/python3"
