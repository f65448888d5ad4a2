# Runs as root in a mount namespace of its own, before the uid is dropped.
# Arguments: pairs of a host path and a name, then "--", then the command to become.
set -eu
mount -t tmpfs -o mode=755,size=1m none /mnt
while [ "$1" != -- ]; do
	if [ -d "$1" ]; then mkdir "/mnt/$2"; else : >"/mnt/$2"; fi
	mount --bind -- "$1" "/mnt/$2"
	shift 2
done
shift
exec "$@"
