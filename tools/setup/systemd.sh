# shellcheck shell=bash
# A small Debian 12 for arm64 with systemd, unpacked and not installed, in which `make test-unit` tries the packages.
# It changes with Debian 12: the archive's signature vouches for it, and no version is pinned.

SYSTEMD_PACKAGES=(base-files base-passwd bash coreutils dash grep kmod libc-bin mawk mount procps sed systemd
    systemd-sysv udev util-linux)

setup_systemd() {
    local new="$SETUP/systemd.new" file
    # shellcheck disable=SC2034 # install_packages reads it
    INSTALL_OPTIONS=(--yes --no-install-recommends)
    command -v cpio >/dev/null || {
        use_system_lists
        install_packages cpio
    }
    command -v depmod >/dev/null || {
        use_system_lists
        install_packages kmod
    }
    use_arm64_lists
    say "fetching a small Debian with systemd (40 MB, not installed)"
    rm -rf "$new" "$LISTS"/cache/archives/*.deb
    mkdir -p "$new"
    quietly download-systemd apt-get "${APT_OPTIONS[@]}" --yes --no-install-recommends --download-only install \
        "${SYSTEMD_PACKAGES[@]}" || fail "cannot download systemd and what it needs"
    for file in "$LISTS"/cache/archives/*.deb; do
        quietly unpack-systemd dpkg -x "$file" "$new" || fail "cannot unpack $file"
    done
    rm -f "$LISTS"/cache/archives/*.deb
    rm -rf "$new"/usr/share/{doc,man,locale,info,zoneinfo} "$new"/{usr/,}lib/udev/hwdb.*
    [ -x "$new/lib/systemd/systemd" ] || fail "there is no systemd in what was unpacked"
    rm -rf "$SETUP/systemd"
    mv "$new" "$SETUP/systemd"
}
