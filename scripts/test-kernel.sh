#!/bin/bash
# Builds the kernel that the worker's tests boot: tinyconfig and the suites'
# configuration, from Debian's linux-source. Prints nothing but errors; the image
# is at $STATE/test-kernel/bzImage. Does nothing when it is current.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

DIR=$STATE/test-kernel
CONFIG=$ROOT/suites/kernel.config
mkdir -p "$DIR"
want=$(cat "$CONFIG" "${BASH_SOURCE[0]}" <(dpkg-query -W linux-source-6.12 gcc) | sha256sum)
if [ -f "$DIR/bzImage" ] && [ "$(cat "$DIR/key" 2>/dev/null)" = "$want" ]; then
    exit 0
fi
if [ ! -f "$DIR/source/.complete" ]; then
    rm -rf "$DIR/source"
    mkdir "$DIR/source"
    tar -C "$DIR/source" --strip-components=1 -xf "$SOURCE"
    touch "$DIR/source/.complete"
fi
rm -rf "$DIR/objects"
mkdir "$DIR/objects"
export CCACHE_DIR=$STATE/ccache CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
export KBUILD_BUILD_TIMESTAMP=2025-01-01 KBUILD_BUILD_USER=firstbad
export KBUILD_BUILD_HOST=firstbad KBUILD_BUILD_VERSION=1
kernel() {
    make -s -C "$DIR/source" O="$DIR/objects" -j"$(nproc)" CC='ccache gcc' "$@"
}
kernel tinyconfig
cat "$CONFIG" >>"$DIR/objects/.config"
kernel olddefconfig
kernel bzImage
cp "$DIR/objects/arch/x86/boot/bzImage" "$DIR/bzImage.new"
mv "$DIR/bzImage.new" "$DIR/bzImage"
printf '%s\n' "$want" >"$DIR/key"
rm -rf "$DIR/objects"
