# shellcheck shell=bash
# Kernel and shell of the Linux boot test, unpacked and not installed.

setup_linux() {
    use_arm64_lists
    local new="$SETUP/debian.new" package version file
    rm -rf "$new"
    mkdir -p "$new/unpacked"

    choose_kernel
    say "fetching $package $version (11 MB)"
    file=$(download "$SETUP/downloads" "$package" "$version") || exit 1
    quietly unpack-kernel dpkg -x "$file" "$new/unpacked" || fail "cannot unpack $file"
    local kernels=("$new"/unpacked/usr/lib/modules/*/vmlinuz "$new"/unpacked/boot/vmlinuz-*)
    local kernel
    for kernel in "${kernels[@]}"; do
        [ -e "$kernel" ] && break
    done
    [ -e "$kernel" ] || fail "no kernel image in $package $version"
    [ "$(dd if="$kernel" bs=1 skip=56 count=4 status=none)" = "$(printf 'ARM\144')" ] ||
        fail "the kernel of $package $version is no plain arm64 Image"
    mv "$kernel" "$new/vmlinuz"

    version=$(choose_version busybox-static "$BUSYBOX_PACKAGE_VERSION" 1:1.) ||
        fail "no busybox-static for arm64 in bookworm"
    say "fetching busybox-static $version (1 MB)"
    file=$(download "$SETUP/downloads" busybox-static "$version") || exit 1
    quietly unpack-busybox dpkg -x "$file" "$new/unpacked" || fail "cannot unpack $file"
    mv "$new/unpacked/bin/busybox" "$new/busybox"

    rm -rf "$new/unpacked" "$SETUP/debian" "$SETUP/downloads"
    mv "$new" "$SETUP/debian"
}

# Sets package and version: those of CLOISTER_KERNEL_VERSION, or the pinned ones, or the newest
# 7.x when the pinned ones are gone.
choose_kernel() {
    local wanted="${CLOISTER_KERNEL_VERSION:-$KERNEL_PACKAGE_VERSION}"
    local upstream="${wanted%%-*}"
    [[ $upstream =~ ^[0-9.]+$ ]] ||
        fail "CLOISTER_KERNEL_VERSION=$wanted is no version like ${KERNEL_PACKAGE_VERSION%%-*} or $KERNEL_PACKAGE_VERSION"
    package=$(kernel_packages "${upstream//./[.]}" | tail -n 1)
    if [ -n "$package" ]; then
        # The package's name carries the upstream version, so any of its versions will do.
        if [ "$wanted" = "$upstream" ]; then
            wanted=$(available_versions "$package" | head -n 1)
        fi
        version=$(choose_version "$package" "$wanted" "$upstream") && return
    fi
    [ -z "${CLOISTER_KERNEL_VERSION-}" ] ||
        fail "no kernel $CLOISTER_KERNEL_VERSION in the archive; there are: $(kernel_packages '[0-9.]+' | sed 's/linux-binary-\([0-9.]*\).*/\1/' | paste -sd ' ')"
    package=$(kernel_packages '7[.][0-9.]+' | tail -n 1)
    [ -n "$package" ] || fail "no 7.x kernel in trixie-backports; CLOISTER_KERNEL_VERSION chooses another"
    version=$(available_versions "$package" | head -n 1)
    say "kernel $KERNEL_PACKAGE_VERSION is no longer in the archive, taking $version"
}

# Names of kernel packages whose upstream version matches, oldest first.
kernel_packages() {
    apt-cache "${APT_OPTIONS[@]}" pkgnames linux-binary- |
        awk -v wanted="^linux-binary-$1[+]deb[0-9]+-$KERNEL_FLAVOUR\$" '$0 ~ wanted' | sort -V
}
