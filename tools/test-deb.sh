#!/usr/bin/env bash
# Tests of the Debian packages that `make deb` has built: that the same parts give the same bytes, what is in them,
# that they install, upgrade and go again, that DKMS builds the module from its package, that systemd takes the unit,
# and that the Containerfile makes an image of the same program. The last line says how many passed.
#
# usage: tools/test-deb.sh PROGRAMS_FOLDER MODULE_FOLDER DOCUMENTS_FOLDER DEB_FOLDER [KERNEL_RELEASE...]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/versions.sh
. tools/versions.sh

usage='usage: tools/test-deb.sh PROGRAMS_FOLDER MODULE_FOLDER DOCUMENTS_FOLDER DEB_FOLDER [KERNEL_RELEASE...]'
programs=${1:?$usage}
module=${2:?$usage}
documents=${3:?$usage}
debs=${4:?$usage}
shift 4
SETUP="${CLOISTER_SETUP:-$PWD/target/setup}"
HEADERS="$SETUP/headers"
# How much the unit leaves open, by the marks of systemd-analyze (0 nothing, 100 everything).
MOST_EXPOSURE=15

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
skipped=0

# check NAME COMMAND...
check() {
    # In a shell of its own, where the first command that fails ends it; an `if` would switch that off.
    set +e
    (
        set -e
        "${@:2}"
    ) >"$work/log" 2>&1
    local status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        echo "  ok     $1"
        passed=$((passed + 1))
    else
        tail -n 20 "$work/log"
        echo "  FAILED $1"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "  skip   $1: $2"
    skipped=$((skipped + 1))
}

same_bytes() {
    local deb
    umask 077
    TZ=Pacific/Auckland LC_ALL=C tools/build-deb.sh "$programs" "$module" "$documents" "$work/again"
    for deb in "$vmm" "$dkms"; do
        cmp "$deb" "$work/again/$(basename "$deb")"
    done
}

# contents PACKAGE FILE: what it must hold, as `dpkg-deb --contents` has it, without sizes and times. Each command of the
# program has a page.
contents() {
    dpkg-deb --contents "$1" | awk '{ print $1, $2, $6 }' |
        sed "s/$version/VERSION/g; s|/host-vmm-[a-z]*\.1\.gz|/host-vmm-COMMAND.1.gz|" | uniq >"$work/contents"
    diff -u "$2" "$work/contents"
}

fields() {
    [ "$(dpkg-deb --field "$1" Package)" = "$2" ]
    [ "$(dpkg-deb --field "$1" Architecture)" = arm64 ]
    [ "$(dpkg-deb --field "$1" Version)" = "$version" ]
}

sums() {
    rm -rf "$work/root"
    dpkg-deb --raw-extract "$1" "$work/root"
    (cd "$work/root" && md5sum --check --quiet DEBIAN/md5sums)
    [ "$(find "$work/root" -path "$work/root/DEBIAN" -prune -o -type f -print | wc -l)" = \
        "$(wc -l <"$work/root/DEBIAN/md5sums")" ]
}

# dpkg for a system in a folder, whose programs cannot run here: maintainer scripts run outside, with DPKG_ROOT. That
# dkms is not there does not matter.
dpkg_there() {
    dpkg --root="$work/system" --log=/dev/null --force-architecture --force-depends --force-script-chrootless "$@"
}

# Every package of the system is as it should be.
all_are() {
    awk -v wanted="Status: install ok $1" '/^Status: / { seen++; if ($0 != wanted) wrong++ }
        END { exit !(seen == 2 && !wrong) }' "$work/system/var/lib/dpkg/status"
}

# Installed over itself it is an upgrade.
installs_and_goes() {
    local system=$work/system group
    rm -rf "$system"
    mkdir -p "$system"/var/lib/dpkg/{info,updates,triggers} "$system/etc"
    touch "$system/var/lib/dpkg/status"
    dpkg_there --install "$vmm" "$dkms"
    dpkg_there --install "$vmm" "$dkms"
    all_are installed
    # Its user may open device nodes, and reads settings that others do not.
    grep -q '^host-vmm:.*:/var/lib/host-vmm:.*nologin$' "$system/etc/passwd"
    grep -q '^kvm:.*:host-vmm$' "$system/etc/group"
    group=$(sed -n 's/^host-vmm:[^:]*:\([0-9]*\):.*/\1/p' "$system/etc/group")
    [ "$(stat --format '%u:%g %a' "$system/etc/host-vmm")" = "0:$group 750" ]
    echo '# mine' >"$system/etc/host-vmm/web.toml"
    dpkg_there --purge cloister-host-vmm cloister-realm-dkms
    [ "$(cat "$system/etc/host-vmm/web.toml")" = '# mine' ]
    [ -z "$(find "$system/usr" -type f)" ]
}

# dkms_build RELEASE ARCHITECTURE HEADERS_OF_RELEASE: DKMS itself, in folders of its own, with a compiler for arm64. What
# stands for /lib/modules/RELEASE/build says where the two halves of Debian's headers are: elsewhere than installed ones.
dkms_build() {
    local at=$work/dkms options=() headers=$HEADERS/usr/src/linux-headers-$3
    rm -rf "$at"
    mkdir -p "$at"/{sources,tree,installed,kernel,bin}
    dpkg-deb --extract "$dkms" "$at/package"
    mv "$at/package/usr/src/realm-$version" "$at/sources"
    "${CROSS_COMPILE}gcc" -fmin-function-alignment=8 -E -x c /dev/null >/dev/null 2>&1 ||
        options+=(CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=)
    ln -s "$headers/.config" "$headers/include" "$at/kernel"
    # shellcheck disable=SC2016 # make's own
    printf 'modules clean:\n\t$(MAKE) -C %s O=%s M=$(M) ARCH=arm64 CROSS_COMPILE=%s CC=%sgcc %s $@\n' \
        "$HEADERS/usr/src/linux-headers-${3%%-*}-common" "$headers" \
        "$CROSS_COMPILE" "$CROSS_COMPILE" "${options[*]}" >"$at/kernel/Makefile"
    ln -s "$(command -v "${CROSS_COMPILE}strip")" "$at/bin/strip"
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PATH="$at/bin:$PATH" bash "$SETUP/dkms/usr/sbin/dkms" build \
        -m realm -v "$version" -k "$1" -a "$2" -j "$(nproc)" --kernelsourcedir "$at/kernel" \
        --sourcetree "$at/sources" --dkmstree "$at/tree" --installtree "$at/installed"
}

dkms_builds() {
    dkms_build "$1" aarch64 "$1" || {
        cat "$work"/dkms/tree/realm/*/build/make.log
        return 1
    }
    "${CROSS_COMPILE}readelf" --string-dump=.modinfo "$work/dkms/tree/realm/$version/$1/aarch64/module/realm.ko" |
        grep "vermagic=$1 "
}

# A kernel that is too old, and another architecture, are no failure of the package: DKMS has a code for that.
dkms_leaves_out() {
    local kernel
    for kernel in '6.11.0-1-arm64 aarch64' '6.12.0-1-amd64 x86_64'; do
        local status=0
        # shellcheck disable=SC2086 # two words
        dkms_build $kernel "${releases[0]}" || status=$?
        [ "$status" -eq 77 ]
    done
}

# The image has the program, and says what the Containerfile says. Nothing in it runs.
image() {
    local storage=(--root "$work/storage" --runroot "$work/storage-run" --storage-driver vfs) mounted
    buildah "${storage[@]}" build --isolation chroot --platform linux/arm64 --tag host-vmm \
        --file deploy/container/Containerfile "$programs"
    buildah "${storage[@]}" inspect --type image --format \
        '{{.OCIv1.Architecture}} {{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}' host-vmm >"$work/image"
    grep -x 'arm64 10001:10001 \[/host-vmm\] \[run --config /machine/machine.toml --run-dir /run/host-vmm\]' "$work/image"
    mounted=$(buildah "${storage[@]}" from host-vmm)
    mounted=$(buildah "${storage[@]}" mount "$mounted")
    cmp "$programs/host-vmm" "$mounted/host-vmm"
    [ "$(find "$mounted" -type f -printf '%P %m')" = 'host-vmm 755' ]
}

unpack_unit() {
    rm -rf "$work/root"
    dpkg-deb --extract "$vmm" "$work/root"
    # Verification wants to find the program that the unit starts; it does not run it.
    [ -x "$work/root/usr/bin/host-vmm" ]
}

unit() {
    unpack_unit
    systemd-analyze verify --root="$work/root" --man=no --recursive-errors=no host-vmm@web.service 2>"$work/verify" || {
        cat "$work/verify"
        return 1
    }
    # What it does not know it ignores, and says so.
    ! grep 'host-vmm@' "$work/verify" || return 1
    # The same with the drop-in of the examples.
    install -Dm644 "$work/root/usr/share/doc/cloister-host-vmm/examples/own-user.conf" \
        "$work/root/etc/systemd/system/host-vmm@.service.d/own-user.conf"
    systemd-analyze verify --root="$work/root" --man=no --recursive-errors=no host-vmm@web.service 2>"$work/verify" || {
        cat "$work/verify"
        return 1
    }
    ! grep -E 'host-vmm@|own-user' "$work/verify"
}

exposure() {
    unpack_unit
    # The name stands for a template's instance.
    cp "$work/root/usr/lib/systemd/system/host-vmm@.service" "$work/root/usr/lib/systemd/system/host-vmm@web.service"
    systemd-analyze security --offline=true --root="$work/root" --threshold="$MOST_EXPOSURE" --no-pager host-vmm@web.service
}

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
vmm=$debs/cloister-host-vmm_${version}_arm64.deb
dkms=$debs/cloister-realm-dkms_${version}_arm64.deb
releases=("$@")
[ $# -gt 0 ] || mapfile -t releases <"$HEADERS/releases"

check 'the same parts give the same bytes' same_bytes
check 'contents of cloister-host-vmm' contents "$vmm" tests/deploy/cloister-host-vmm.contents
check 'contents of cloister-realm-dkms' contents "$dkms" tests/deploy/cloister-realm-dkms.contents
check 'fields of cloister-host-vmm' fields "$vmm" cloister-host-vmm
check 'fields of cloister-realm-dkms' fields "$dkms" cloister-realm-dkms
check 'sums of cloister-host-vmm' sums "$vmm"
check 'sums of cloister-realm-dkms' sums "$dkms"
if [ "$(id -u)" -eq 0 ] && command -v systemd-sysusers >/dev/null; then
    check 'packages install, upgrade and go' installs_and_goes
else
    skip 'packages install, upgrade and go' 'only root can do that, with systemd-sysusers'
fi
for release in "${releases[@]}"; do
    check "DKMS builds the module for $release" dkms_builds "$release"
done
check 'DKMS leaves other kernels alone' dkms_leaves_out
if command -v systemd-analyze >/dev/null; then
    check 'systemd takes the unit' unit
    check 'the unit leaves little open' exposure
else
    skip 'systemd takes the unit' 'no systemd-analyze (apt-get install systemd)'
fi
if command -v lintian >/dev/null; then
    check 'policy, as lintian has it' lintian --profile debian --allow-root --fail-on error,warning "$vmm" "$dkms"
else
    skip 'policy, as lintian has it' 'not installed (apt-get install lintian)'
fi
if command -v buildah >/dev/null && [ "$(id -u)" -eq 0 ]; then
    check 'the image is made' image
else
    skip 'the image is made' 'only root can do that, with buildah (apt-get install buildah)'
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
