# Takes a kernel out of Debian packages, in the sandbox. /src holds packages/*.deb, /out is to be filled:
# image, config, release, modules/NNN-NAME.ko in the order of loading, and missing (names, one a line).
# Arguments: names of the modules wanted.
set -eu
root=/out/root
mkdir "$root" /out/modules
for deb in /src/packages/*.deb; do
	dpkg-deb --extract "$deb" "$root"
done
# Where /lib is a link, packages ship /usr/lib only; kmod looks below /lib.
[ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
release=$(ls "$root/lib/modules")
case $release in
*[!A-Za-z0-9.+~_-]* | '')
	echo "the packages hold no kernel, or more than one: $release" >&2
	exit 1
	;;
esac
lib=$root/lib/modules/$release
# first NAME...: the first that exists.
first() {
	for name; do
		[ -f "$name" ] && { echo "$name"; return; }
	done
	echo "none of these is in the packages: $*" >&2
	return 1
}
image=$(first "$root/boot/vmlinuz-$release" "$lib/vmlinuz")
cp "$image" /out/image
config=$(first "$root/boot/config-$release" "$lib/config")
cp "$config" /out/config
echo "$release" >/out/release
depmod --basedir "$root" "$release"
: >/out/missing
: >/out/order
for name; do
	if modprobe --dirname "$root" --set-version "$release" --show-depends "$name" >/out/needs 2>/dev/null; then
		sed -n 's/^insmod \([^ ]*\).*/\1/p' /out/needs >>/out/order
	else
		echo "$name" >>/out/missing
	fi
done
awk '!seen[$0]++' /out/order >/out/once
n=100
while read -r path; do
	n=$((n + 1))
	name=$(basename "$path")
	case $name in
	*.ko.xz) xz --decompress --stdout "$path" >"/out/modules/$n-${name%.xz}" ;;
	*.ko.zst) zstd --quiet --decompress --stdout "$path" >"/out/modules/$n-${name%.zst}" ;;
	*.ko) cp "$path" "/out/modules/$n-$name" ;;
	*)
		echo "$name: a module in an unknown format" >&2
		exit 1
		;;
	esac
done </out/once
