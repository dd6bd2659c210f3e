# shellcheck shell=bash
# The Rust toolchain and the bare-metal target.

setup_rust() {
    if ! command -v rustc >/dev/null || ! command -v cargo >/dev/null; then
        fail "no Rust: install Rust $RUST_VERSION or newer with rustup"
    fi
    local version
    version=$(rustc --version | awk '{ print $2 }')
    [ "$(printf '%s\n' "$RUST_VERSION" "$version" | sort -V | head -n 1)" = "$RUST_VERSION" ] ||
        fail "Rust $version is too old: rustup toolchain install $RUST_VERSION, then rustup default $RUST_VERSION"
    local component
    for component in rustfmt clippy; do
        cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
        say "adding the component $component to the toolchain"
        quietly "rustup-$component" rustup component add "$component" ||
            fail "no $component: rustup component add $component"
    done
}

# The targets beside this machine's own: from rustup, or built from source. Leaves
# bare-metal.env, which tools/bare-metal-cargo.sh and tools/linux-cargo.sh read.
setup_bare_metal_target() {
    if [ -z "${CLOISTER_FORCE_RUST_SRC-}" ] && targets_are_there; then
        write_bare_metal_env ''
        return
    fi
    if [ -z "${CLOISTER_FORCE_RUST_SRC-}" ] && command -v rustup >/dev/null; then
        say "rustup target add $BARE_METAL_TARGET $BROWSER_TARGET $LINUX_TARGET"
        if quietly rustup-target rustup target add "$BARE_METAL_TARGET" "$BROWSER_TARGET" "$LINUX_TARGET" &&
            targets_are_there; then
            write_bare_metal_env ''
            return
        fi
        say "rustup cannot add the targets here: building the library from source instead"
    fi
    setup_rust_src
}

# Whether what bare-metal.env says still holds.
bare_metal_target_works() {
    local LIBRARY_SOURCE=
    # shellcheck source=/dev/null
    . "$SETUP/bare-metal.env"
    if [ -n "$LIBRARY_SOURCE" ]; then
        [ -e "$LIBRARY_SOURCE/library/core/Cargo.toml" ]
    else
        targets_are_there
    fi
}

targets_are_there() {
    local target libraries
    for target in "$BARE_METAL_TARGET" "$BROWSER_TARGET" "$LINUX_TARGET"; do
        libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) &&
            compgen -G "$libraries/libcore-*.rlib" >/dev/null || return 1
    done
}

# Debian's copy of the library source, unpacked here; the toolchain itself is not written to.
setup_rust_src() {
    local rust version file
    rust=$(rustc --version | awk '{ print $2 }')
    local unpacked="$SETUP/rust-src"
    if [ ! -e "$unpacked/usr/src/rustc-$rust/library/core/Cargo.toml" ]; then
        use_arm64_lists
        version=$(choose_version rust-src "$RUST_SRC_PACKAGE_VERSION" "$rust+") || version=
        [ "${version%%+*}" = "$rust" ] ||
            fail "no source of the Rust $rust library in trixie-backports: rustup target add $BARE_METAL_TARGET"
        say "fetching rust-src $version (45 MB)"
        file=$(download "$SETUP/downloads" rust-src "$version") || exit 1
        rm -rf "$unpacked" "$unpacked.new"
        mkdir -p "$unpacked.new"
        quietly unpack-rust-src dpkg -x "$file" "$unpacked.new" || fail "cannot unpack $file"
        mv "$unpacked.new" "$unpacked"
        rm -f "$file"
    fi
    write_bare_metal_env "$unpacked/usr/src/rustc-$rust"
}

# write_bare_metal_env SOURCE
write_bare_metal_env() {
    local env="$SETUP/bare-metal.env"
    printf 'LIBRARY_SOURCE=%q\n' "$1" >"$env.new"
    if ! cmp -s "$env.new" "$env"; then
        mv "$env.new" "$env"
    else
        rm "$env.new"
    fi
}
