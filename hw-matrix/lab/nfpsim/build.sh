#!/bin/bash
# Builds nfpsim (README.md) from Debian packages into the folder that it prints last.
#
#	build.sh [--no-install]
#
# The folder is $XDP_OFFLOAD_NFPSIM, by default nfpsim under the user's cache. Nothing is done where it is up to
# date. Missing packages are installed, which takes root, unless --no-install is given.
set -euo pipefail

PACKAGES="qemu-system-x86 busybox-static gcc-12 libc6-dev libelf1 make cpio xz-utils"
# The driver's newest series in Debian 12 (backports of the stable kernel).
SERIES=6.12

here=$(cd "$(dirname "$0")" && pwd)
out=${XDP_OFFLOAD_NFPSIM:-${XDG_CACHE_HOME:-$HOME/.cache}/xdp-offload/nfpsim}
say() { echo "nfpsim: $*" >&2; }
fail() { say "$@"; exit 1; }

sources=$(cd "$here" && cat build.sh init loader.c module/Makefile module/glue.c | sha256sum | cut -d' ' -f1)
if command -v qemu-system-x86_64 >/dev/null && [ "$(cat "$out/SOURCES" 2>/dev/null)" = "$sources" ]; then
	echo "$out"
	exit
fi

apt() { apt-get -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User="$(id -un)" -qq "$@" >&2; }
may_install() { [ "${1:-}" != --no-install ] && [ "$(id -u)" = 0 ]; }
# The release of the newest signed-off image of the series: "6.12.117+deb12".
newest() {
	apt-cache search --names-only "^linux-image-$SERIES\.[0-9]+\+deb[0-9]+-amd64-unsigned$" |
		sed -E 's/linux-image-(.*)-amd64-unsigned .*/\1/' | sort -V | tail -1
}

[ "$(uname -m)" = x86_64 ] || fail "builds on x86-64 only"
command -v apt-get >/dev/null || fail "builds on Debian only: there is no apt-get"
! may_install "$@" || apt update
release=$(newest)
[ -n "$release" ] || fail "apt knows no linux-image-$SERIES.*-amd64-unsigned: Debian 12 with updates has it"
kernel=$release-amd64
missing=
for package in $PACKAGES; do
	[ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
	may_install "$@" || fail "these packages are missing:$missing"
	say "installing$missing"
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt install -y --no-install-recommends $missing
fi

mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt downloads as a user of its own.
chmod 755 "$work"
cd "$work"

say "downloading Linux $release"
# Unpacked here, not installed: a kernel that somebody boots is none of our business.
apt download "linux-image-$kernel-unsigned" "linux-headers-$kernel" "linux-headers-$release-common" \
	"linux-kbuild-$release" "linux-source-$SERIES"
dpkg-deb --fsys-tarfile linux-image-*.deb | tar x --wildcards "./boot/vmlinuz-*" "*/kernel/fs/*" "*/kernel/net/9p/*"
for package in linux-headers-*.deb linux-kbuild-*.deb; do
	dpkg-deb -x "$package" .
done
headers=$work/usr/src/linux-headers-$kernel
echo "include $work/usr/src/linux-headers-$release-common/Makefile" > "$headers/Makefile"
# The driver, out of the archive in the package.
mkdir source
dpkg-deb --fsys-tarfile linux-source-*.deb | tar xO --occurrence "./usr/src/linux-source-$SERIES.tar.xz" |
	tar xJ -C source --strip-components=5 "linux-source-$SERIES/drivers/net/ethernet/netronome/nfp"

say "building"
cp -r "$here/module" .
mv source/nfp module/nfp
rm module/nfp/Makefile
# Without the module's BTF, which nobody reads: making it takes pahole.
make -s -C "$headers" M="$work/module" CONFIG_DEBUG_INFO_BTF_MODULES= modules >&2
gcc-12 -O2 -Wall -Wextra -static -o loader "$here/loader.c"

mkdir -p root/{bin,proc,sys,dev,w,m}
cp "$(command -v busybox)" loader root/bin/
install -m 755 "$here/init" root/init
strip -g -o root/m/nfpsim.ko module/nfpsim.ko
for module in fs/netfs/netfs net/9p/9pnet net/9p/9pnet_virtio fs/9p/9p; do
	xz -dc "lib/modules/$kernel/kernel/$module.ko.xz" > "root/m/${module##*/}.ko"
done
(cd root && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) > "$out/initrd"
cp "boot/vmlinuz-$kernel" "$out/vmlinuz"
echo "$release" > "$out/KERNEL"
echo "$sources" > "$out/SOURCES"
echo "$out"
