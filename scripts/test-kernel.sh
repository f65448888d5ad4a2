#!/bin/bash
# Builds the kernel that the worker's tests boot: tinyconfig and the suites'
# configuration, from Debian's linux-source. Prints nothing but errors; the image
# is at $STATE/test-kernel/bzImage. Does nothing when it is current.
#
# test-kernel.sh PATCH: the same with a patch to one file; the image is
# $STATE/test-kernel/NAME.bzImage for NAME.patch. The source stays as it is: the patched
# file is mounted over it for the build alone.
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
mkdir -p "$DIR" "$STATE/ccache"
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
over=()
if [ -n "$PATCH" ]; then
    file=$(sed -n 's|^+++ b/||p' "$PATCH")
    patch --quiet --output="$OBJECTS/patched" "$DIR/source/$file" "$PATCH"
    over=(--ro-bind "$OBJECTS/patched" "/src/$file")
fi
# Places, variables and arguments are those of a worker (worker/src/kbuild.rs): what is compiled
# here is in ccache for a worker that gets a copy of it.
kernel() {
    bwrap --unshare-all --die-with-parent --ro-bind /usr /usr \
        --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
        --ro-bind-try /etc/alternatives /etc/alternatives --proc /proc --dev /dev --tmpfs /tmp \
        --ro-bind "$DIR/source" /src "${over[@]}" --bind "$OBJECTS" /build --bind "$STATE/ccache" /ccache \
        --clearenv --setenv PATH /usr/bin:/usr/sbin --setenv HOME /tmp --setenv LC_ALL C --setenv TZ UTC \
        --setenv CCACHE_DIR /ccache --setenv CCACHE_COMPILERCHECK content --setenv CCACHE_DEPEND 1 \
        --chdir /build make -s -C /src O=/build -j"$(nproc)" \
        ARCH=x86_64 'CC=ccache gcc' 'HOSTCC=ccache gcc' LOCALVERSION= \
        'KBUILD_BUILD_TIMESTAMP=Wed Jan  1 00:00:00 UTC 2025' KBUILD_BUILD_USER=firstbad \
        KBUILD_BUILD_HOST=firstbad KBUILD_BUILD_VERSION=1 "$@"
}
kernel tinyconfig
cat "${CONFIG[@]}" >>"$OBJECTS/.config"
kernel olddefconfig
kernel bzImage
cp "$OBJECTS/arch/x86/boot/bzImage" "$IMAGE.new"
mv "$IMAGE.new" "$IMAGE"
printf '%s\n' "$want" >"$DIR/${NAME}key"
rm -rf "$OBJECTS"
