# shellcheck shell=bash
# The kernel modules of the guest, of the same kernel as target/setup/debian/vmlinuz: unpacked,
# decompressed, and not installed.

# What a Realm needs beyond what the kernel has built in: its devices, and evidence; and tun for the
# host. What these depend on is named as well; the order in which they are loaded is the image
# builder's to find.
GUEST_MODULES='arm-cca-guest configfs failover net_failover tsm_report tun virtio_blk virtio_mmio virtio_net'
GUEST_MODULES+=' virtio_balloon virtio-rng vmw_vsock_virtio_transport vmw_vsock_virtio_transport_common vsock'

setup_guest() {
    use_arm64_lists
    local new="$SETUP/guest.new" package version file
    rm -rf "$new"
    mkdir -p "$new/modules"

    choose_kernel
    package=${package/#linux-binary-/linux-modules-}
    say "fetching $package $version (18 MB)"
    file=$(download "$SETUP/downloads" "$package" "$version") || exit 1
    quietly unpack-modules dpkg -x "$file" "$new/unpacked" || fail "cannot unpack $file"
    local folders=("$new"/unpacked/usr/lib/modules/* "$new"/unpacked/lib/modules/*) folder
    for folder in "${folders[@]}"; do
        [ -d "$folder/kernel" ] && break
    done
    [ -d "$folder/kernel" ] || fail "no kernel modules in $package $version"
    basename "$folder" >"$new/release"

    local module found
    for module in $GUEST_MODULES; do
        found=$(find "$folder/kernel" -name "$module.ko.xz" -print -quit)
        [ -n "$found" ] || fail "no module $module in $package $version"
        xz --decompress --stdout "$found" >"$new/modules/$module.ko" || fail "cannot decompress $found"
    done

    rm -rf "$new/unpacked" "$SETUP/guest" "$SETUP/downloads"
    mv "$new" "$SETUP/guest"
}
