#!/usr/bin/env bash
# Builds the Realm kernel module for the kernels whose headers the set-up has fetched:
# OUTPUT_FOLDER/<kernel release>/realm.ko. What has not changed is not built again.
#
# usage: tools/build-module.sh BUILD_FOLDER OUTPUT_FOLDER [--rust-half | KERNEL_RELEASE...]
#
#   --rust-half   for no kernel: only OUTPUT_FOLDER/rust/realm_core.o, which is the same for all
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/versions.sh
. tools/versions.sh
# shellcheck source=tools/module-functions.sh
. tools/module-functions.sh

usage='usage: tools/build-module.sh BUILD_FOLDER OUTPUT_FOLDER [--rust-half | KERNEL_RELEASE...]'
build=${1:?$usage}
output=${2:?$usage}
shift 2

SHIM=host-vmm/kmod/shim
[ -r "$HEADERS/releases" ] || fail "no kernel headers: run 'make setup' first"
releases=("$@")
[ $# -gt 0 ] || mapfile -t releases <"$HEADERS/releases"
[ "$*" != --rust-half ] || releases=()
for release in "${releases[@]}"; do
    grep -qxF -- "$release" "$HEADERS/releases" ||
        fail "no headers of kernel $release; there are: $(paste -sd ' ' "$HEADERS/releases")"
done

# The Rust half becomes one object that defines what the shim calls and nothing else.
CARGO_TARGET_DIR="$build" tools/bare-metal-cargo.sh --kernel build --quiet -p realm-kmod
archive="$build/$BARE_METAL_TARGET/release/librealm_kmod.a"
mkdir -p "$output/rust"
stamp=$(sha256sum "$archive" "$SHIM/core.lds" | cut -d ' ' -f 1 | paste -sd ' ')
if [ "$(cat "$output/rust/stamp" 2>/dev/null)" != "$stamp" ]; then
    rust="$output/rust/realm_core.o"
    # Not nm, which asks whatever plugin for compilers' intermediate code the machine may have.
    "${CROSS_COMPILE}readelf" --syms --wide "$archive" 2>/dev/null |
        awk '$5 == "GLOBAL" && $7 != "UND" && $8 ~ /^realm_/ { print $8 }' | sort -u >"$output/rust/exported"
    [ -s "$output/rust/exported" ] || fail "$archive defines no function realm_*"
    # shellcheck disable=SC2046 # one word each
    run "$output/rust/link.log" "${CROSS_COMPILE}ld" -r --gc-sections -T "$SHIM/core.lds" \
        $(sed 's/^/-u /' "$output/rust/exported") -o "$rust.new" "$archive"
    run "$output/rust/objcopy.log" "${CROSS_COMPILE}objcopy" --strip-debug \
        --keep-global-symbols="$output/rust/exported" "$rust.new"
    replace_if_changed "$rust.new" "$rust"
    printf '%s\n' "$stamp" >"$output/rust/stamp"
fi

for release in "${releases[@]}"; do
    folder="$output/$release/build"
    mkdir -p "$folder"
    for file in "$SHIM"/Kbuild "$SHIM"/*.[ch] "$output/rust/realm_core.o"; do
        name=$(basename "$file")
        cmp -s "$file" "$folder/${name/%core.o/core.o_shipped}" ||
            cp "$file" "$folder/${name/%core.o/core.o_shipped}"
    done
    for file in "$folder"/*.c; do
        [ -e "$SHIM/$(basename "$file")" ] || [[ $file == *.mod.c ]] || rm "$file"
    done
    build_module "$release" "$folder" realm "$output/$release/build.log" "$output/$release/realm.ko"
done
