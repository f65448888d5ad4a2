# Runs in the sandbox: /src the source, /conf and /build object directories, /request what is asked for.
# $1 is the base (a make target, or "file"); the rest are make's arguments.
set -eu
base=$1
shift
if [ "$base" = file ]; then
	rm -f /conf/.config
	cat /request/base >/conf/.config
else
	make -C /src O=/conf "$@" "$base"
fi
cat /request/fragments >>/conf/.config
make -C /src O=/conf "$@" olddefconfig
# An unchanged configuration keeps its time stamp, so that make stays incremental.
cmp -s /conf/.config /build/.config || cp /conf/.config /build/.config
