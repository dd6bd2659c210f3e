# shellcheck shell=bash
# What the Realm kernel module is built with: a cross compiler, which is installed, and the headers
# of the kernels that it is built for, unpacked and not installed.

setup_cross_compiler() {
    # shellcheck disable=SC2034 # install_packages reads it
    INSTALL_OPTIONS=(--yes --no-install-recommends)
    use_system_lists
    install_packages gcc-aarch64-linux-gnu
    command -v "${CROSS_COMPILE}gcc" >/dev/null || fail "there is still no ${CROSS_COMPILE}gcc in PATH"
}

# DKMS, of which one script is all there is to it: unpacked, because here it works in folders of its own.
setup_dkms() {
    local version file new="$SETUP/dkms.new"
    use_system_lists
    version=$(choose_version dkms "$DKMS_PACKAGE_VERSION" 3.) || fail "no dkms in bookworm"
    say "fetching dkms $version (50 KB, not installed)"
    file=$(download "$SETUP/downloads" dkms "$version") || exit 1
    rm -rf "$new" "$SETUP/dkms"
    quietly unpack-dkms dpkg -x "$file" "$new" || fail "cannot unpack $file"
    mv "$new" "$SETUP/dkms"
    rm -rf "$SETUP/downloads"
}

# Headers of the kernel that the Linux boot test takes, and of those in MODULE_KERNELS. Leaves
# headers/releases, which tools/build-module.sh reads: one kernel release a line, the first one that
# of the boot test.
setup_headers() {
    local new="$SETUP/headers.new" package version release
    rm -rf "$new"
    mkdir -p "$new"
    use_arm64_lists
    choose_kernel
    local first="${package#linux-binary-}"
    use_module_lists
    fetch_headers "$first" "$version" || fail "no headers of the kernel $first $version in the archive"
    for release in "${MODULE_KERNELS[@]}"; do
        version=${release#* }
        release=${release% *}
        [ "$release" != "$first" ] || continue
        fetch_headers "$release" "$version" ||
            say "the headers of $release $version are no longer in the archive: left out"
    done
    fetch_library_of_tools
    rm -rf "$SETUP/headers"
    mv "$new" "$SETUP/headers"
    rm -rf "$SETUP/downloads"
}

# Lists with the packages of this machine's architecture beside those of arm64: modules are built by
# programs that come with each kernel.
use_module_lists() {
    need_archive
    new_lists module
    : >"$LISTS/status"
    cat >>"$LISTS/apt.conf" <<END
Dir::State "$LISTS";
Dir::State::Lists "$LISTS/lists";
Dir::State::status "$LISTS/status";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; };
END
    printf 'deb [signed-by=%s] %s %s main\n' \
        "$KEYRING" "$ARCHIVE" bookworm-backports \
        "$KEYRING" "$ARCHIVE" trixie \
        "$KEYRING" "$ARCHIVE" trixie-backports >"$LISTS/sources.list"
    fetch_lists module
}

# fetch_headers RELEASE VERSION
fetch_headers() {
    local release=$1 version=$2 package file
    local base="${release%%-*}"
    grep -qxF -- "$version" < <(available_versions "linux-headers-$release:arm64") || return 1
    say "fetching the headers of $release (2 MB, and 13 MB that its flavours share)"
    for package in "linux-headers-$release:arm64" "linux-headers-$base-common" "linux-kbuild-$base:amd64"; do
        file=$(download "$SETUP/downloads" "$package" "$version") || exit 1
        quietly unpack-headers dpkg -x "$file" "$new" || fail "cannot unpack $file"
    done
    # With it the build would want a recent pahole, for type information that this module does not need.
    rm -f "$new/usr/src/linux-headers-$release/vmlinux"
    printf '%s\n' "$release" >>"$new/releases"
}

# One of the kernel's programs wants a newer C library than Debian 12 has. It gets one for itself.
fetch_library_of_tools() {
    local version file program
    version=$(choose_version libc6:amd64 "$TOOLS_LIBRARY_PACKAGE_VERSION" 2.) || fail "no libc6 in trixie"
    say "fetching libc6 $version for the kernel's own tools (3 MB, not installed)"
    file=$(download "$SETUP/downloads" libc6:amd64 "$version") || exit 1
    quietly unpack-library dpkg -x "$file" "$new/library" || fail "cannot unpack $file"
    for program in "$new"/usr/lib/linux-kbuild-*/scripts/mod/modpost.real-lsb-64; do
        mv "$program" "$program.program"
        cat >"$program" <<'END'
#!/bin/sh
program=$(readlink -f "$0")
library="${program%/usr/lib/linux-kbuild-*}/library/usr/lib/x86_64-linux-gnu"
exec "$library/ld-linux-x86-64.so.2" --library-path "$library" "$program.program" "$@"
END
        chmod +x "$program"
    done
}
