#!/bin/bash
# Builds the virtual lab (README.md) from Debian packages into a folder.
#
#	build.sh FOLDER [--no-install]
#
# `hw-matrix lab build` calls it, and knows whether it must. Packages that the lab runs with are installed where they are
# missing, which takes root, unless --no-install is given; all else is downloaded, unpacked in FOLDER, and never
# installed: a kernel that somebody boots is none of our business.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$1 install=${2:-}
RUNS_WITH="qemu-system-x86 busybox-static kmod iproute2 ethtool xz-utils cpio util-linux"
# The build root: a compiler for each kernel, and what runs make.
BUILDS_WITH="bash coreutils sed grep mawk findutils make/trixie libc6-dev/trixie gcc-12/trixie gcc-14/trixie"

say() { printf 'lab: %4d s  %s\n' "$SECONDS" "$*" >&2; }
fail() { echo "lab: $*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

[ "$(uname -m)" = x86_64 ] || fail "the lab is built on x86-64 only"
command -v apt-get >/dev/null || fail "the lab is built from Debian packages: there is no apt-get here"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keyring ] || fail "there is no $keyring; install the package debian-archive-keyring"

missing=
for package in $RUNS_WITH; do
	[ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
	[ "$install" != --no-install ] && is_root || fail "these packages are missing:$missing"
	say "installing$missing"
	apt-get -o DPkg::Lock::Timeout=300 update -qq >&2
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing >&2
fi

mkdir -p "$out"
work=$(mktemp -d "$out/build.XXXXXX")
trap 'umount -l "$work/root/dev" "$work/root/proc" 2>/dev/null || :; rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

# An apt of our own: its own lists, its own idea of what is installed (nothing), the mirrors that this machine uses.
mkdir -p apt/{etc/{sources.list.d,preferences.d,apt.conf.d},lists/partial,cache/archives/partial} debs root source
: >apt/status
mirrors() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u; }
main=$(mirrors | grep -v security | grep -m1 debian || echo http://deb.debian.org/debian/)
security=$(mirrors | grep -m1 security || echo "$main")
{
	for suite in bookworm bookworm-backports trixie trixie-backports; do
		echo "deb [signed-by=$keyring] $main $suite main"
	done
	echo "deb [signed-by=$keyring] $security bookworm-security main"
} >apt/etc/sources.list
cat >apt/apt.conf <<-A
	Dir::Etc "$work/apt/etc";
	Dir::State "$work/apt";
	Dir::State::Lists "$work/apt/lists";
	Dir::State::status "$work/apt/status";
	Dir::Cache "$work/apt/cache";
	APT::Sandbox::User "$(id -un)";
A
ours() { APT_CONFIG=$work/apt/apt.conf "$@"; }
fetch() { (cd debs && ours apt-get download -qq "$@" >&2); }
# The newest package of a name's pattern, without the name's prefix and suffix: "6.12.117+deb12-amd64".
newest() {
	ours apt-cache search --names-only "^$1$2$3\$" | sed -E "s/^$1([^ ]*)$3 .*/\1/" | sort -V | tail -1
}
say "package lists"
ours apt-get update -qq >&2
old=$(newest linux-image- '6\.12\.[0-9]+\+deb12-amd64' -unsigned)
new=$(newest linux-modules- '[0-9.]+\+deb13-amd64' '')
[ -n "$old" ] && [ -n "$new" ] || fail "the mirror $main has no kernel 6.12 of Debian 12 or none of Debian 13's backports"
series=$(echo "$new" | cut -d. -f1,2)

say "downloading Linux $old, Linux $new and compilers"
fetch "linux-image-$old-unsigned" linux-source-6.12/bookworm-security "linux-binary-unsigned-$new" "linux-modules-$new" \
	"linux-source-$series/trixie-backports" bpftool/bookworm-backports libbpf1/bookworm-backports
# shellcheck disable=SC2086
ours apt-get install -y -qq -d --no-install-recommends $BUILDS_WITH "linux-headers-$old" "linux-headers-$new" >&2

say "unpacking"
for package in apt/cache/archives/*.deb; do
	dpkg-deb -x "$package" root
done
ln -sf bash root/usr/bin/sh
ln -sf mawk root/usr/bin/awk
mkdir -p root/build root/dev root/proc
dpkg-deb -x debs/bpftool_*.deb tools
dpkg-deb -x debs/libbpf1_*.deb tools

# What the modules are made from, and the kernel's own offload tests, out of the archive in linux-source-SERIES.
sources() {
	mkdir "source/$1"
	dpkg-deb --fsys-tarfile debs/linux-source-"$1"_*.deb | tar xO --occurrence "./usr/src/linux-source-$1.tar.xz" |
		xz -dcT0 | tar x -C "source/$1" --strip-components=1 "linux-source-$1"/{drivers/net/{netdevsim,ethernet/netronome/nfp},tools/net/ynl,tools/testing/selftests/net,Documentation/netlink}
}
sources 6.12 & sources "$series" & wait -n && wait -n || fail "the kernel's sources cannot be unpacked"

# chroot needs a namespace where we are not root.
in_root() {
	if is_root; then chroot root "$@"; else unshare -r chroot root "$@"; fi
}
# MODULE of a kernel: its RELEASE, its SERIES, the compiler.
module() {
	local module=$1 release=$2 compiler=$3
	# Without the module's BTF, which nobody reads: making it takes pahole.
	in_root make -s -C "/usr/src/linux-headers-$release" "M=/build/$release/$module" CC="$compiler" HOSTCC="$compiler" \
		CONFIG_NETDEVSIM=m CONFIG_PTP_1588_CLOCK_MOCK=n CONFIG_DEBUG_INFO_BTF_MODULES= modules >"$release.$module.log" 2>&1 || {
		cat "$release.$module.log" >&2
		fail "$module cannot be built for Linux $release"
	}
	install -D "root/build/$release/$module/$module.ko" "kernel.$release/modules/$release/updates/$module.ko"
	strip_debug "kernel.$release/modules/$release/updates/$module.ko"
}
strip_debug() { cp "$1" root/build/m.ko && in_root strip -g /build/m.ko && cp root/build/m.ko "$1"; }

# A kernel's folder: vmlinuz, modules, initrd. Arguments: RELEASE, SERIES, compiler; image and modules lie in kernel.RELEASE.
kernel() {
	local release=$1 series=$2 compiler=$3 folder=kernel.$1
	say "building modules for Linux $release"
	mkdir -p "root/build/$release"
	cp -r "source/$series/drivers/net/netdevsim" "root/build/$release/netdevsim"
	cp -r "$here/nfpsim/module" "root/build/$release/nfpsim"
	cp -r "source/$series/drivers/net/ethernet/netronome/nfp" "root/build/$release/nfpsim/nfp"
	rm "root/build/$release/nfpsim/nfp/Makefile"
	module netdevsim "$release" "$compiler"
	module nfpsim "$release" "$compiler"
	mkdir -p "$folder/depmod/lib"
	ln -s "$work/$folder/modules" "$folder/depmod/lib/modules"
	depmod -b "$folder/depmod" "$release"
	initrd "$release" "$folder"
	rm -rf "$folder/depmod"
	echo "$release" >"$folder/RELEASE"
	rm -rf "${out:?}/kernels/$series"
	mkdir -p "$out/kernels"
	mv "$folder" "$out/kernels/$series"
}

# What a guest needs until it sees the host's files: busybox and the modules for that, in the order of their loading.
initrd() {
	local release=$1 folder=$2 image=$2/image number=10
	mkdir -p "$image"/{bin,m,proc,sys,dev,host,tmp,new}
	cp "$(command -v busybox)" "$image/bin/"
	install -m 755 "$here/guest/init" "$image/init"
	install -m 755 "$here/guest/agent" "$image/agent"
	for module in virtio_pci virtio_console 9pnet_virtio 9p overlay virtio_rng; do
		modprobe -d "$folder/depmod" -S "$release" --show-depends "$module" 2>/dev/null || :
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$folder/needed"
	while read -r file; do
		local name=$number-${file##*/}
		case $file in
		*.xz) xz -dc "$file" >"$image/m/${name%.xz}" ;;
		*.zst) zstd -dcq "$file" >"$image/m/${name%.zst}" ;;
		*) cp "$file" "$image/m/$name" ;;
		esac
		number=$((number + 1))
	done <"$folder/needed"
	(cd "$image" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$folder/initrd"
	rm -rf "$image" "$folder/needed"
}

mkdir -p "kernel.$old/modules" "kernel.$new/modules" unpack
dpkg-deb -x debs/linux-image-*.deb unpack
mv "unpack/boot/vmlinuz-$old" "kernel.$old/vmlinuz"
mv "unpack/lib/modules/$old" "kernel.$old/modules/"
for package in debs/linux-binary-unsigned-*.deb debs/linux-modules-*.deb; do
	dpkg-deb -x "$package" unpack
done
mv "unpack/usr/lib/modules/$new" "kernel.$new/modules/"
mv "kernel.$new/modules/$new/vmlinuz.unsigned" "kernel.$new/vmlinuz"
rm -f kernel.*/modules/*/{build,source}
is_root && mount --bind /dev root/dev && mount -t proc proc root/proc || :
kernel "$old" 6.12 gcc-12
kernel "$new" "$series" gcc-14
cp "$here/nfpsim/loader.c" root/build/
in_root gcc-14 -O2 -Wall -Wextra -static -o /build/loader /build/loader.c

say "tools"
# igb, which QEMU knows since version 8.0.
if [ "$(qemu-system-x86_64 --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')" -lt 8 ]; then
	fetch qemu-system-x86/bookworm-backports qemu-system-data/bookworm-backports qemu-system-common/bookworm-backports \
		seabios/trixie ipxe-qemu/trixie
	mkdir qemu
	for package in debs/{qemu-system-*,seabios_*,ipxe-qemu_*}.deb; do
		dpkg-deb -x "$package" qemu
	done
	rm -rf "$out/qemu"
	mv qemu "$out/qemu"
fi
rm -rf "$out/tools" "$out/source" "$out/loader"
mv tools "$out/tools"
rm -rf source/*/drivers
mv source "$out/source"
cp root/build/loader "$out/loader"
umount -l root/dev root/proc 2>/dev/null || :
rm -rf "${work:?}"/*
say "built: $(du -sh "$out" | cut -f1) in $out"
