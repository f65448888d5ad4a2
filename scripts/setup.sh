#!/bin/bash
# Installs what firstbad needs on a bare Debian 12, with apt. Safe to run again:
# it does nothing, quickly, when all is there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

PACKAGES=(
    # compilers and what kernel builds ask for
    build-essential pkg-config bc bison flex cpio kmod rsync ccache
    libelf-dev libssl-dev libcap-dev patch xz-utils zstd linux-source-6.12
    # sources and databases
    git ca-certificates curl postgresql-15
    # virtual machines and the sandbox
    qemu-system-x86 seabios bubblewrap util-linux procps
    # what the suites run in the guest
    busybox-static btrfs-progs dmsetup e2fsprogs crun
    # answers of firstbad in the scripts
    jq
    # the pages in a browser, and what looks at their accessibility and their HTML
    chromium chromium-driver python3-pip python3-venv default-jre-headless
    # what builds fstests, and what its tests run besides
    automake libtool libacl1-dev libaio-dev libbtrfsutil-dev liburing-dev uuid-dev xfslibs-dev
    acl attr gawk libcap2-bin xfsprogs
)

missing() {
    local package
    for package in "${PACKAGES[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            printf '%s\n' "$package"
    done
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 --quiet --yes "$@"
}

# The server makes its own cluster: Debian's would only take memory.
without_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf
    if [ ! -e "$conf" ]; then
        mkdir -p "${conf%/*}"
        printf 'create_main_cluster = false\n' >"$conf"
    fi
}

rust() {
    command -v cargo >/dev/null && command -v rustc >/dev/null || {
        echo 'Rust 1.95 or newer is needed: install it with rustup (https://rustup.rs).'
        return 1
    }
    local version minor
    version=$(cd "$ROOT" && rustc --version)
    minor=${version#rustc 1.}
    minor=${minor%%.*}
    [ "$minor" -ge 95 ] || {
        echo "Rust 1.95 or newer is needed, here is: $version"
        return 1
    }
    echo "$version"
}

wanted=$(missing)
if [ -n "$wanted" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        die "these packages are missing, and only root can install them:" $wanted
    fi
    step 'package lists' apt update
    # shellcheck disable=SC2086 # one word a package
    step 'packages' eval 'without_cluster && apt install --no-install-recommends $wanted'
else
    printf '%-28s %4d s (all there)\n' 'packages' 0
fi
step 'rust' rust
[ -f "$SOURCE" ] || die "$SOURCE is missing although linux-source-6.12 is installed"
