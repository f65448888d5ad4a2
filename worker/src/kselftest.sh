# Runs in the sandbox: /src the source, /build the built kernel.
# $1 names the targets; the rest are make's arguments.
set -eu
targets=$1
shift
tests=/src/tools/testing/selftests
out=/build/kselftest
# What an earlier candidate left must not be taken for this one's.
rm -rf "$out"
mkdir "$out"
there=
for target in $targets; do
	if [ -f "$tests/$target/Makefile" ]; then
		there="$there $target"
	else
		echo "selftests: the tree has no $target"
	fi
done
[ -n "$there" ] || exit 0
make -C /src O=/build "$@" headers
# Errors are passed over (-i): a program that cannot be built is left out, the others are there.
# Static: the guest has no libraries.
LDFLAGS=-static make -i -C "$tests" O=/build "$@" TARGETS="$there" SKIP_TARGETS= KSFT_INSTALL_PATH="$out/installed" install
cd "$out/installed"
# Without debug information, the binaries of an unchanged test stay the same.
find . -type f -perm -u+x -exec strip --remove-section=.note.gnu.build-id {} + 2>/dev/null || true
find . -type f -printf '%P\n' | LC_ALL=C sort >"$out/files"
