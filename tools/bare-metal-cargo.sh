#!/usr/bin/env bash
# Cargo for the bare-metal programs: the target, where its core library comes from, and compiler
# options that keep the paths of this machine out of the result.
#
# usage: tools/bare-metal-cargo.sh [--browser|--kernel] build|clippy -p PACKAGE... [-- ARGUMENTS]
#
#   --browser   for WebAssembly instead
#   --kernel    for a module of the Linux kernel
set -euo pipefail

TOOLS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$TOOLS")
# shellcheck source=tools/versions.sh
. "$TOOLS/versions.sh"

target=$BARE_METAL_TARGET
flag_list=()
case "${1-}" in
--browser)
    target=$BROWSER_TARGET
    shift
    ;;
--kernel)
    # The kernel follows frame pointers when it shows where something went wrong.
    flag_list+=("'-Cforce-frame-pointers=yes'")
    shift
    ;;
esac

settings="${CLOISTER_SETUP:-$ROOT/target/setup}/bare-metal.env"
if [ ! -r "$settings" ]; then
    echo "no $settings: run 'make setup' first" >&2
    exit 2
fi
LIBRARY_SOURCE=
# shellcheck source=/dev/null
. "$settings"

command=${1:?usage: tools/bare-metal-cargo.sh build|clippy -p PACKAGE...}
shift

cd "$ROOT"
locked=()
if [ -n "${CI-}" ]; then
    locked=(--locked)
fi
# Flags in the environment would replace those of .cargo/config.toml.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
export SOURCE_DATE_EPOCH=0 CARGO_INCREMENTAL=0
# The image says which sources it is made of (rmm/image/build.rs).
CLOISTER_REVISION=$("$TOOLS/revision.sh")
export CLOISTER_REVISION

options=()
if [ -n "$LIBRARY_SOURCE" ]; then
    # A library built from source is not a stable feature, though the code of it is the release's.
    export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$LIBRARY_SOURCE/library"
    options+=("-Zbuild-std=core,alloc,compiler_builtins"
        -Zbuild-std-features=compiler-builtins-mem)
fi

# The sources must be there before the folders that hold them can be named.
cargo fetch --quiet "${locked[@]}"

# add_remap FROM TO: later entries win, so the general ones come first.
add_remap() {
    flag_list+=("'--remap-path-prefix=$1=$2'")
}
sysroot=$(rustc --print sysroot)
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
add_remap "$ROOT" .
add_remap "$sysroot/lib/rustlib/src/rust" "/rustc/$commit"
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    add_remap "${registry%/}" /crates
done
if [ -n "$LIBRARY_SOURCE" ]; then
    add_remap "$LIBRARY_SOURCE" "/rustc/$commit"
fi
host=$(rustc -vV | sed -n 's/^host: //p')
if [ ! -e "$sysroot/lib/rustlib/$host/bin/rust-lld" ]; then
    flag_list+=("'-Clinker=ld.lld'")
fi
flags="target.$target.rustflags=[$(IFS=,; echo "${flag_list[*]}")]"

# What is built for size, because it makes no difference to the instructions that a token takes. On the
# development machine the same packages are built for speed.
for_size=()
for package in attestation-token ciborium ciborium-ll coset crypto-bigint der fiat-crypto p384 primefield primeorder \
    rmm-attest sec1; do
    for_size+=(--config "profile.release.package.$package.opt-level=\"s\"")
done

arguments=("$command")
if [ "$command" = build ] || [ "$command" = clippy ]; then
    arguments+=(--release --target "$target")
fi
exec cargo --config "$flags" "${for_size[@]}" "${arguments[@]}" "${locked[@]}" "${options[@]}" "$@"
