# shellcheck shell=bash
# The kernels that the Realm kernel module is built for, to be booted as hosts: the image alone, unpacked and
# not installed, as target/setup/kernels/RELEASE/vmlinuz.

# Kernels that are no longer in the archive are left out, as their headers are.
setup_kernels() {
    local new="$SETUP/kernels.new" release version package name file
    rm -rf "$new"
    mkdir -p "$new"
    use_module_lists
    for release in "${MODULE_KERNELS[@]}"; do
        version=${release#* }
        release=${release% *}
        package=
        # In kernels before 7 the image comes with all modules.
        for name in "linux-binary-$release" "linux-image-$release"; do
            if grep -qxF -- "$version" < <(available_versions "$name:arm64"); then
                package=$name
                break
            fi
        done
        if [ -z "$package" ]; then
            say "the kernel $release $version is no longer in the archive: left out"
            continue
        fi
        say "fetching $package $version ($(package_megabytes "$package:arm64" "$version") MB)"
        file=$(download "$SETUP/downloads" "$package:arm64" "$version") || exit 1
        mkdir -p "$new/$release"
        unpack_kernel "$file" "$new/$release/vmlinuz" ||
            fail "no kernel image in $package $version"
        rm -f "$file"
        is_arm64_image "$new/$release/vmlinuz" || fail "the kernel of $package $version is no plain arm64 Image"
    done
    rm -rf "$SETUP/kernels" "$SETUP/downloads"
    mv "$new" "$SETUP/kernels"
}

# unpack_kernel PACKAGE_FILE FILE: the kernel's image out of a package.
unpack_kernel() {
    local log="$SETUP/logs/unpack-kernels.log"
    mkdir -p "$SETUP/logs"
    dpkg-deb --fsys-tarfile "$1" |
        tar -x --to-stdout --wildcards './usr/lib/modules/*/vmlinuz' './boot/vmlinuz-*' >"$2" 2>"$log" || true
    [ -s "$2" ]
}

is_arm64_image() {
    [ "$(dd if="$1" bs=1 skip=56 count=4 status=none)" = "$(printf 'ARM\144')" ]
}

# package_megabytes PACKAGE VERSION
package_megabytes() {
    apt-cache "${APT_OPTIONS[@]}" show "$1=$2" 2>/dev/null |
        awk '$1 == "Size:" { printf "%d", ($2 + 999999) / 1000000; exit }'
}
