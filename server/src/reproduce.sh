#!/bin/sh
# Runs one recorded run of a kernel test again, with QEMU alone; --vng: boots its kernel on your own
# files with virtme-ng instead, and gives you a shell, or runs the words that follow.
# Exit 0: the same as recorded; 1: not the same; 2: it could not be run.
set -u
cd "$(dirname "$0")" || exit 2

say() { printf '%s\n' "$*" >&2; }

if [ "${1:-}" = --vng ]; then
    shift
    command -v vng >/dev/null || { say 'vng is not installed: pip install virtme-ng'; exit 2; }
    # virtme-ng shares files with the kernel in one of these ways.
    if [ -e config ] && ! grep -qE '^CONFIG_(VIRTIO_FS|NET_9P_VIRTIO)=y' config; then
        say 'this kernel cannot share files with its host (VIRTIO_FS or NET_9P_VIRTIO): use ./run.sh'
        exit 2
    fi
    # VNG='vng --disable-kvm': where KVM is there and does not work.
    # shellcheck disable=SC2086
    exec ${VNG:-vng} --run ./bzImage --cpus {{VCPUS}} --memory {{MEMORY_MIB}}M -- "$@"
fi
[ $# -eq 0 ] || { say "usage: $0 [--vng [COMMAND...]]"; exit 2; }

command -v qemu-system-x86_64 >/dev/null || { say 'qemu-system-x86_64 is not installed'; exit 2; }
printf '%s  %s\n' {{IMAGE_SHA256}} bzImage {{INITRAMFS_SHA256}} initramfs.cpio | sha256sum --quiet -c - || {
    say 'the files are not those that were recorded'
    exit 2
}
recorded={{QEMU_VERSION}}
here=$(qemu-system-x86_64 --version | head -n 1)
[ "$here" = "$recorded" ] || say "recorded with: $recorded; here is: $here"

[ {{ENDED}} = yes ] || say 'the recorded run did not end by itself: stop this one with Ctrl-C'
rm -f console frames
{{COMMAND}}
code=$?
[ "$code" -eq 0 ] || { say "QEMU ended with $code"; exit 2; }
say "the kernel's words are in $PWD/console"
[ {{EXACT}} = yes ] || exit 0
if printf '%s  %s\n' {{CONSOLE_SHA256}} console | sha256sum --status -c -; then
    say 'identical: the console is the recorded one, byte for byte'
else
    say 'DIFFERENT: the console is not the recorded one'
    exit 1
fi
