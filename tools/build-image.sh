#!/usr/bin/env bash
# Builds the RMM image: rmm.img (flat), rmm.elf and their SHA-256. Folder and time leave no trace
# in them.
#
# usage: tools/build-image.sh BUILD_FOLDER OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: tools/build-image.sh BUILD_FOLDER OUTPUT_FOLDER}
output=${2:?usage: tools/build-image.sh BUILD_FOLDER OUTPUT_FOLDER}
emulator=${EMULATOR:-$build/debug/emulator}

CARGO_TARGET_DIR="$build" tools/bare-metal-cargo.sh build --quiet -p rmm-image
mkdir -p "$output"
"$emulator" image "$build/aarch64-unknown-none-softfloat/release/rmm" "$output/rmm.img"
cp "$build/aarch64-unknown-none-softfloat/release/rmm" "$output/rmm.elf.new"
mv "$output/rmm.elf.new" "$output/rmm.elf"
(cd "$output" && sha256sum rmm.img rmm.elf >rmm.sha256.new && mv rmm.sha256.new rmm.sha256)
