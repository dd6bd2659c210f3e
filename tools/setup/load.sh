# shellcheck shell=bash
# fio and iperf3 for arm64, and the libraries that they need, unpacked and not installed, as target/setup/load: what
# `make overhead` and `make test-load` run in guests. The programs are pinned; of the libraries, which change with
# Debian 12, the archive's signature vouches.

setup_load() {
    use_arm64_lists
    local new="$SETUP/load.new" package pinned version file wanted=() libraries=()
    rm -rf "$new" "$SETUP/downloads"
    mkdir -p "$new"
    for package in fio iperf3 libiperf0; do
        pinned=$IPERF_PACKAGE_VERSION
        [ "$package" != fio ] || pinned=$FIO_PACKAGE_VERSION
        version=$(choose_version "$package" "$pinned" "${pinned%%.*}.") || fail "no $package for arm64 in bookworm"
        wanted+=("$package=$version")
    done
    # Packages of Python and Perl, which fio recommends and its scripts need, are left out: nobody runs those.
    mapfile -t libraries < <(
        apt-get "${APT_OPTIONS[@]}" --print-uris --yes --no-install-recommends install "${wanted[@]}" 2>/dev/null |
            awk '/^'\''/ { sub("_.*", "", $2); print $2 }' | grep -E '^(lib|zlib)' | grep -vE 'perl|python|^libiperf0$'
    )
    [ "${#libraries[@]}" -gt 0 ] || fail "cannot find out which libraries fio and iperf3 need"
    say "fetching fio and iperf3 and ${#libraries[@]} packages of libraries (45 MB)"
    for package in "${wanted[@]}"; do
        file=$(download "$SETUP/downloads" "${package%%=*}" "${package#*=}") || exit 1
    done
    (cd "$SETUP/downloads" && quietly download-libraries apt-get "${APT_OPTIONS[@]}" download "${libraries[@]}") ||
        fail "cannot download the libraries: check the network"
    for file in "$SETUP"/downloads/*.deb; do
        quietly unpack-load dpkg -x "$file" "$new" || fail "cannot unpack $file"
    done
    rm -rf "$SETUP/downloads" "${new:?}"/usr/share "$new"/usr/lib/*/gconv
    for file in fio iperf3; do
        [ -x "$new/usr/bin/$file" ] || fail "there is no $file in what was unpacked"
    done
    rm -rf "$SETUP/load"
    mv "$new" "$SETUP/load"
}
