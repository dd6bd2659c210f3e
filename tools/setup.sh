#!/usr/bin/env bash
# Prepares a fresh Debian 12 for building and testing. Safe to repeat; a second run needs no network.
#
# usage: tools/setup.sh [--without-linux] [--without-module] [--with-kernels] [--with-systemd] [--with-load]
#
#   --without-linux    no Linux kernel for host and guest
#   --without-module   nothing that the Realm kernel module is built with
#   --with-kernels     every kernel that the module is built for, to boot them as hosts (140 MB)
#   --with-systemd     a small Debian with systemd, to try the packages in (40 MB; installs cpio and kmod)
#   --with-load        fio and iperf3 with their libraries, to run in guests (45 MB)
#
# Installs packages only where something is missing: qemu-system-arm (from Debian's backports),
# device-tree-compiler, gcc where there is no C linker, gcc-aarch64-linux-gnu for the module, fiptool for
# firmware packages (arm-trusted-firmware-tools), and shellcheck.
# Everything else stays in target/setup.
#
#   CLOISTER_QEMU             use this QEMU instead of installing one
#   CLOISTER_KERNEL_VERSION   another Debian kernel for host and guest
#   CLOISTER_FORCE_RUST_SRC   build the core library from source even if rustup has the target
set -euo pipefail

TOOLS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$TOOLS")
SETUP="$ROOT/target/setup"

# shellcheck source=tools/versions.sh
. "$TOOLS/versions.sh"
# shellcheck source=tools/setup/messages.sh
. "$TOOLS/setup/messages.sh"
# shellcheck source=tools/setup/archive.sh
. "$TOOLS/setup/archive.sh"
# shellcheck source=tools/setup/packages.sh
. "$TOOLS/setup/packages.sh"
# shellcheck source=tools/setup/rust.sh
. "$TOOLS/setup/rust.sh"
# shellcheck source=tools/setup/linux.sh
. "$TOOLS/setup/linux.sh"
# shellcheck source=tools/setup/guest.sh
. "$TOOLS/setup/guest.sh"
# shellcheck source=tools/setup/module.sh
. "$TOOLS/setup/module.sh"
# shellcheck source=tools/setup/kernels.sh
. "$TOOLS/setup/kernels.sh"
# shellcheck source=tools/setup/systemd.sh
. "$TOOLS/setup/systemd.sh"
# shellcheck source=tools/setup/load.sh
. "$TOOLS/setup/load.sh"

WITH_LINUX=yes
WITH_MODULE=yes
WITH_KERNELS=
WITH_SYSTEMD=
WITH_LOAD=
for option in "$@"; do
    case "$option" in
    --without-linux) WITH_LINUX= ;;
    --without-module) WITH_MODULE= ;;
    --with-kernels) WITH_KERNELS=yes ;;
    --with-systemd) WITH_SYSTEMD=yes ;;
    --with-load) WITH_LOAD=yes ;;
    *)
        echo "setup: unknown option '$option' (usage: tools/setup.sh [--without-linux] [--without-module] [--with-kernels] [--with-systemd] [--with-load])" >&2
        exit 2
        ;;
    esac
done

# Whether a step is done already: its stamp names the versions, and what it made is there.
# is_done NAME VERSIONS FILE...
is_done() {
    [ "$(cat "$SETUP/stamps/$1" 2>/dev/null)" = "$2" ] || return 1
    local file
    for file in "${@:3}"; do
        [ -e "$file" ] || return 1
    done
}

mark_done() {
    printf '%s\n' "$2" >"$SETUP/stamps/$1.new"
    mv "$SETUP/stamps/$1.new" "$SETUP/stamps/$1"
}

mkdir -p "$SETUP/stamps" || fail "cannot write to $SETUP"
# Two makes at once must not unpack into the same folder.
exec 9>"$SETUP/lock"
flock 9

rustc_path=$(command -v rustc || echo none)
rust_stamp="$RUST_VERSION $(rustc --version 2>/dev/null || echo none)"
target_stamp="$rust_stamp ${CLOISTER_FORCE_RUST_SRC:+from source}"
packages=$(command -v cc dtc setpriv fiptool shellcheck "$QEMU" || true)
packages_stamp="$QEMU_VERSION $(paste -sd ' ' <<<"$packages")"
linux_stamp="${CLOISTER_KERNEL_VERSION:-$KERNEL_PACKAGE_VERSION} $KERNEL_FLAVOUR $BUSYBOX_PACKAGE_VERSION"
headers_stamp="${CLOISTER_KERNEL_VERSION:-$KERNEL_PACKAGE_VERSION} $KERNEL_FLAVOUR ${MODULE_KERNELS[*]}"
guest_stamp="$linux_stamp: $GUEST_MODULES"
kernels_stamp="${MODULE_KERNELS[*]}"
load_stamp="$FIO_PACKAGE_VERSION $IPERF_PACKAGE_VERSION"

# The steps that are not done, as "NAME FUNCTION TITLE".
todo=()
is_done rust "$rust_stamp" "$rustc_path" ||
    todo+=("rust setup_rust Rust $RUST_VERSION or newer")
is_done packages "$packages_stamp" ||
    todo+=("packages setup_packages QEMU $QEMU_VERSION or newer with RME, device-tree compiler, C linker, fiptool, shellcheck")
is_done target "$target_stamp" "$SETUP/bare-metal.env" && bare_metal_target_works ||
    todo+=("target setup_bare_metal_target Rust targets $BARE_METAL_TARGET, $BROWSER_TARGET and $LINUX_TARGET")
[ -z "$WITH_LINUX" ] || is_done linux "$linux_stamp" "$SETUP/debian/vmlinuz" "$SETUP/debian/busybox" ||
    todo+=("linux setup_linux Debian kernel ${linux_stamp%% *} for host and guest")
[ -z "$WITH_LINUX" ] || is_done guest "$guest_stamp" "$SETUP/guest/release" "$SETUP/guest/modules" ||
    todo+=("guest setup_guest Kernel modules of the guest")
if [ -n "$WITH_MODULE" ]; then
    command -v "${CROSS_COMPILE}gcc" >/dev/null ||
        todo+=("compiler setup_cross_compiler C compiler for arm64")
    is_done headers "$headers_stamp" "$SETUP/headers/releases" ||
        todo+=("headers setup_headers Headers of the kernels that the Realm kernel module is built for")
    is_done dkms "$DKMS_PACKAGE_VERSION" "$SETUP/dkms/usr/sbin/dkms" ||
        todo+=("dkms setup_dkms DKMS $DKMS_PACKAGE_VERSION, for the package of the module")
fi
[ -z "$WITH_KERNELS" ] || is_done kernels "$kernels_stamp" "$SETUP/kernels" ||
    todo+=("kernels setup_kernels Kernels that the module is built for, as hosts")
[ -z "$WITH_SYSTEMD" ] || is_done systemd "${SYSTEMD_PACKAGES[*]}" "$SETUP/systemd/lib/systemd/systemd" ||
    todo+=("systemd setup_systemd A small Debian with systemd")
[ -z "$WITH_LOAD" ] || is_done load "$load_stamp" "$SETUP/load/usr/bin/fio" "$SETUP/load/usr/bin/iperf3" ||
    todo+=("load setup_load fio $FIO_PACKAGE_VERSION and iperf3 $IPERF_PACKAGE_VERSION for guests")

STEPS=${#todo[@]}
for entry in "${todo[@]}"; do
    read -r name function title <<<"$entry"
    step "$title"
    "$function"
    case "$name" in
    rust) stamp="$rust_stamp" ;;
    packages) stamp="$QEMU_VERSION $(command -v cc dtc setpriv fiptool shellcheck "$QEMU" | paste -sd ' ')" ;;
    target) stamp="$target_stamp" ;;
    linux) stamp="$linux_stamp" ;;
    guest) stamp="$guest_stamp" ;;
    compiler) stamp="$CROSS_COMPILE" ;;
    headers) stamp="$headers_stamp" ;;
    dkms) stamp="$DKMS_PACKAGE_VERSION" ;;
    kernels) stamp="$kernels_stamp" ;;
    systemd) stamp="${SYSTEMD_PACKAGES[*]}" ;;
    load) stamp="$load_stamp" ;;
    esac
    mark_done "$name" "$stamp"
done
if [ "$STEPS" -gt 0 ]; then
    echo "set-up is complete"
fi
