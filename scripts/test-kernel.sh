#!/bin/bash
# Builds the kernel that the worker's tests boot: tinyconfig and the suites'
# configuration, from Debian's linux-source. Prints nothing but errors; the image
# is at $STATE/test-kernel/bzImage. Does nothing when it is current.
#
# test-kernel.sh PATCH: the same with a patch to one file; the image is
# $STATE/test-kernel/NAME.bzImage for NAME.patch. The source stays as it is: the patched
# file is mounted over it for the build alone, which needs root.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

DIR=$STATE/test-kernel
CONFIG=("$ROOT/suites/kernel.config" "$ROOT/suites/tiny.config")
PATCH=${1:-}
NAME=
if [ -n "$PATCH" ]; then
    NAME=${PATCH##*/}
    NAME=${NAME%.patch}.
fi
IMAGE=$DIR/${NAME}bzImage
OBJECTS=$DIR/${NAME}objects
mkdir -p "$DIR"
want=$(cat "${CONFIG[@]}" "${BASH_SOURCE[0]}" ${PATCH:+"$PATCH"} <(dpkg-query -W linux-source-6.12 gcc) | sha256sum)
if [ -f "$IMAGE" ] && [ "$(cat "$DIR/${NAME}key" 2>/dev/null)" = "$want" ]; then
    exit 0
fi
if [ ! -f "$DIR/source/.complete" ]; then
    rm -rf "$DIR/source"
    mkdir "$DIR/source"
    tar -C "$DIR/source" --strip-components=1 -xf "$SOURCE"
    touch "$DIR/source/.complete"
fi
rm -rf "$OBJECTS"
mkdir "$OBJECTS"
export CCACHE_DIR=$STATE/ccache CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
export KBUILD_BUILD_TIMESTAMP=2025-01-01 KBUILD_BUILD_USER=firstbad
export KBUILD_BUILD_HOST=firstbad KBUILD_BUILD_VERSION=1
as_it_is() { "$@"; }
patched() {
    unshare --mount sh -ec 'mount --bind "$1" "$2"; shift 2; exec "$@"' sh "$OBJECTS/patched" "$DIR/source/$file" "$@"
}
how=as_it_is
if [ -n "$PATCH" ]; then
    file=$(sed -n 's|^+++ b/||p' "$PATCH")
    patch --quiet --output="$OBJECTS/patched" "$DIR/source/$file" "$PATCH"
    how=patched
fi
kernel() {
    "$how" make -s -C "$DIR/source" O="$OBJECTS" -j"$(nproc)" CC='ccache gcc' "$@"
}
kernel tinyconfig
cat "${CONFIG[@]}" >>"$OBJECTS/.config"
kernel olddefconfig
kernel bzImage
cp "$OBJECTS/arch/x86/boot/bzImage" "$IMAGE.new"
mv "$IMAGE.new" "$IMAGE"
printf '%s\n' "$want" >"$DIR/${NAME}key"
rm -rf "$OBJECTS"
