# Runs in the sandbox: /src the source of fstests, /build an empty directory.
# $1 is the number of jobs.
set -eu
out=/build/fstests
mkdir "$out"
# Git's own files are no part of it, and some of a clone are their owner's alone.
find /src -mindepth 1 -maxdepth 1 ! -name .git -exec cp -R --preserve=mode -t "$out" {} +
cd "$out"
# What configure makes of the tree depends on nothing but the tree and the installed packages.
make -j"$1"
# The tests run from a copy of the tree without what was only needed to build it.
find check randomize.awk common ltp src tests/generic tests/btrfs -type f \
	! -name '*.[acho]' ! -name '*.l[ao]' ! -name 'Makefile*' ! -path '*/.*' |
	LC_ALL=C sort >/build/files
find ltp src -type f -perm -u+x -exec strip --remove-section=.note.gnu.build-id {} + 2>/dev/null || true
