#!/usr/bin/env bash
# Cargo for the programs that run on the arm64 Linux systems of host and guest: static, and without
# the paths of this machine.
#
# usage: tools/linux-cargo.sh build|clippy -p PACKAGE... [-- ARGUMENTS]
#        tools/linux-cargo.sh target      prints the target, which names the folder of the result
set -euo pipefail

TOOLS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$TOOLS")
# shellcheck source=tools/versions.sh
. "$TOOLS/versions.sh"

settings="${CLOISTER_SETUP:-$ROOT/target/setup}/bare-metal.env"
if [ ! -r "$settings" ]; then
    echo "no $settings: run 'make setup' first" >&2
    exit 2
fi
LIBRARY_SOURCE=
# shellcheck source=/dev/null
. "$settings"

target=${LIBRARY_SOURCE:+$LINUX_TARGET_FROM_SOURCE}
target=${target:-$LINUX_TARGET}
command=${1:?usage: tools/linux-cargo.sh build|clippy -p PACKAGE... or target}
shift
if [ "$command" = target ]; then
    echo "$target"
    exit
fi

cd "$ROOT"
locked=()
[ -z "${CI-}" ] || locked=(--locked)
# Flags in the environment would replace those given here.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
export SOURCE_DATE_EPOCH=0 CARGO_INCREMENTAL=0

# The sources must be there before the folders that hold them can be named.
cargo fetch --quiet "${locked[@]}"

sysroot=$(rustc --print sysroot)
host=$(rustc -vV | sed -n 's/^host: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
options=()
flag_list=("'-Ctarget-feature=+crt-static'")
# add_remap FROM TO: later entries win, so the general ones come first.
add_remap() {
    flag_list+=("'--remap-path-prefix=$1=$2'")
}
add_remap "$ROOT" .
add_remap "$sysroot/lib/rustlib/src/rust" "/rustc/$commit"
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    add_remap "${registry%/}" /crates
done
if [ -n "$LIBRARY_SOURCE" ]; then
    # A library built from source is not a stable feature, though the code of it is the release's.
    export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$LIBRARY_SOURCE/library"
    options+=("-Zbuild-std=std,panic_abort")
    add_remap "$LIBRARY_SOURCE" "/rustc/$commit"
    command -v aarch64-linux-gnu-gcc >/dev/null || {
        echo "no aarch64-linux-gnu-gcc: install gcc-aarch64-linux-gnu, or let rustup add $LINUX_TARGET" >&2
        exit 2
    }
    linker=aarch64-linux-gnu-gcc
elif [ -e "$sysroot/lib/rustlib/$host/bin/rust-lld" ]; then
    linker=rust-lld
else
    linker=ld.lld
fi
flag_list+=("'-Clinker=$linker'")
flags="target.$target.rustflags=[$(IFS=,; echo "${flag_list[*]}")]"

arguments=("$command")
if [ "$command" = build ] || [ "$command" = clippy ]; then
    arguments+=(--release --target "$target")
fi
# Line tables would make the image of the guest several times as large. Optimising each program as a
# whole, as firmware is, would take minutes and make no difference that anybody sees.
exec cargo --config "$flags" --config 'profile.release.strip="symbols"' --config 'profile.release.debug=0' \
    --config profile.release.lto=false --config profile.release.codegen-units=16 \
    "${arguments[@]}" "${locked[@]}" "${options[@]}" "$@"
