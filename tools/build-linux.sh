#!/usr/bin/env bash
# Builds the programs that run on the Linux systems of host and guest: host-vmm, realm-kit, and of the tests
# the VMM that means harm, the end of a stream between host and guest, and work to measure.
#
# usage: tools/build-linux.sh BUILD_FOLDER OUTPUT_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: tools/build-linux.sh BUILD_FOLDER OUTPUT_FOLDER}
output=${2:?usage: tools/build-linux.sh BUILD_FOLDER OUTPUT_FOLDER}

mkdir -p "$output"
target=$(tools/linux-cargo.sh target)
for program in realm-kit host-vmm hostile-vmm stream-end workload; do
    # One at a time: together they would get the union of the features that each asks of a crate.
    CARGO_TARGET_DIR="$build" tools/linux-cargo.sh build --quiet -p "$program"
    cp "$build/$target/release/$program" "$output/$program.new"
    mv "$output/$program.new" "$output/$program"
done
