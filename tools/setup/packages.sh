# shellcheck shell=bash
# Packages that are installed on this machine: QEMU, the device-tree compiler, a C linker, fiptool, shellcheck.

QEMU=${CLOISTER_QEMU:-qemu-system-aarch64}

# Whether a QEMU is there that is new enough and knows the Realm Management Extension.
qemu_fits() {
    local version
    version=$("$QEMU" -version 2>/dev/null | sed -n '1s/.*version \([0-9][0-9.]*\).*/\1/p')
    [ -n "$version" ] || return 1
    [ "$(printf '%s\n' "$QEMU_VERSION" "$version" | sort -V | head -n 1)" = "$QEMU_VERSION" ] ||
        return 1
    echo quit | timeout 20 "$QEMU" -M virt,secure=on,virtualization=on,gic-version=3 \
        -cpu max,x-rme=on -m 64M -S -nodefaults -display none -monitor stdio >/dev/null 2>&1
}

# How this user can install packages: sets AS_ROOT, or fails with the line that root can run.
# become_root PACKAGES...
become_root() {
    if [ "$(id -u)" -eq 0 ]; then
        AS_ROOT=()
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        AS_ROOT=(sudo)
    else
        fail "missing: $*. This user may not install packages (no root, no sudo). Let root run: apt-get ${APT_OPTIONS[*]} ${INSTALL_OPTIONS[*]} install $*"
    fi
}

# Installs packages, if the plan leaves everything that is installed as it is.
# install_packages PACKAGES...
install_packages() {
    local plan changed
    plan=$(apt-get "${APT_OPTIONS[@]}" "${INSTALL_OPTIONS[@]}" --simulate install "$@" 2>&1) || {
        printf '%s\n' "$plan" | tail -n 5 | sed 's/^/      | /' >&2
        fail "apt finds no way to install $*"
    }
    # "Inst NAME [OLD] (NEW ...)" replaces a version, "Remv NAME" takes one away.
    changed=$(awk '($1 == "Inst" && $3 ~ /^\[/ || $1 == "Remv") && $2 !~ /^qemu-/ { print $2 }' <<<"$plan" | paste -sd ' ')
    [ -z "$changed" ] ||
        fail "installing $* would upgrade or remove what is installed ($changed): not done. Bring the machine up to date first (apt-get upgrade), or install $* by hand"
    become_root "$@"
    local count
    count=$(grep -c '^Inst ' <<<"$plan" || true)
    say "installing $* ($count packages, from bookworm-backports: $(awk '$1 == "Inst" && /backports/ { print $2 }' <<<"$plan" | paste -sd ' ' | grep . || echo none))"
    quietly install "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get "${APT_OPTIONS[@]}" "${INSTALL_OPTIONS[@]}" install "$@" ||
        fail "apt could not install $*"
}

# Prints where the toolchain keeps its own linker.
toolchain_linker() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    compgen -G "$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld"
}

setup_packages() {
    local missing=() version
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v dtc >/dev/null || missing+=(device-tree-compiler)
    command -v xz >/dev/null || missing+=(xz-utils)
    # By it QEMU ends when the program that started it is killed.
    command -v setpriv >/dev/null || missing+=(util-linux)
    command -v fiptool >/dev/null || missing+=(arm-trusted-firmware-tools)
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    # The toolchain brings the linker of the bare-metal target; some distributions leave it out.
    toolchain_linker >/dev/null || command -v ld.lld >/dev/null || missing+=(lld)
    INSTALL_OPTIONS=(--yes --no-install-recommends)
    if ! qemu_fits; then
        [ -z "${CLOISTER_QEMU-}" ] ||
            fail "CLOISTER_QEMU=$CLOISTER_QEMU is no QEMU $QEMU_VERSION or newer that knows x-rme"
        use_system_lists
        version=$(choose_version qemu-system-arm "$QEMU_PACKAGE_VERSION" "1:${QEMU_VERSION%.*}.") ||
            fail "no QEMU ${QEMU_VERSION%.*}.x in bookworm-backports: install QEMU $QEMU_VERSION or newer by hand and set CLOISTER_QEMU"
        missing+=("qemu-system-arm=$version")
    fi
    if [ "${#missing[@]}" -gt 0 ]; then
        use_system_lists
        # Should QEMU one day need a library that Debian 12 has only in the backports, the whole
        # suite is offered; what is installed stays as it is in either case.
        apt-get "${APT_OPTIONS[@]}" "${INSTALL_OPTIONS[@]}" --simulate install "${missing[@]}" \
            >/dev/null 2>&1 || INSTALL_OPTIONS+=(-t bookworm-backports)
        install_packages "${missing[@]}"
    fi
    qemu_fits || fail "$QEMU does not know x-rme: is there another one in front of it in PATH?"
}
