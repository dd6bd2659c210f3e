# shellcheck shell=bash disable=SC2034
# Versions of everything that comes from outside the checkout and is not a crate.
# Whoever changes one also changes its checksum in checksums.sha256.

# Lowest Rust that the workspace compiles with.
RUST_VERSION=1.95.0
BARE_METAL_TARGET=aarch64-unknown-none-softfloat
# Only the library for tokens is built for it, to see that it can be used in a browser.
BROWSER_TARGET=wasm32-unknown-unknown
# Programs for the arm64 Linux systems of host and guest, linked statically; the second where rustup
# cannot add the first.
LINUX_TARGET=aarch64-unknown-linux-musl
LINUX_TARGET_FROM_SOURCE=aarch64-unknown-linux-gnu

# First QEMU whose RME carries a whole stack, and the package of Debian 12 backports that has it.
QEMU_VERSION=10.0.2
QEMU_PACKAGE_VERSION='1:10.0.2+ds-2+deb13u1~bpo12+1'

# Source of the Rust standard library, for machines where rustup cannot add a target.
RUST_SRC_PACKAGE_VERSION='1.95.0+dfsg1-2~bpo13+1'

# Kernel and shell of host and guest. The cloud flavour has fewer drivers to initialise.
KERNEL_PACKAGE_VERSION='7.3.4-1~bpo13+1'
KERNEL_FLAVOUR=cloud-arm64
BUSYBOX_PACKAGE_VERSION='1:1.35.0-4+deb12u1+b1'

# What loads a guest's disk and network (make overhead, make test-load).
FIO_PACKAGE_VERSION='3.33-3'
IPERF_PACKAGE_VERSION='3.12-1+deb12u2'

# The Realm kernel module is built with Debian's cross compiler for these kernels, as "RELEASE VERSION",
# and for the one of the boot test if that is another.
CROSS_COMPILE=aarch64-linux-gnu-
MODULE_KERNELS=(
    '7.3.4+deb13-cloud-arm64 7.3.4-1~bpo13+1'
    '7.3.4+deb13-arm64 7.3.4-1~bpo13+1'
    '6.12.95+deb12-cloud-arm64 6.12.95-1~bpo12+1'
    '6.12.95+deb12-arm64 6.12.95-1~bpo12+1'
)
# What a host builds the module with, from the package of its source; tests do the same.
DKMS_PACKAGE_VERSION='3.0.10-8+deb12u1'
# For the programs that come with the headers.
TOOLS_LIBRARY_PACKAGE_VERSION='2.41-12+deb13u5'
