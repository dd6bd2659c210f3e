#!/usr/bin/env bash
# Builds the kernel module of the guest kit, for a Realm with this kernel: OUTPUT_FOLDER/realm_memory.ko.
#
# usage: tools/build-guest-module.sh OUTPUT_FOLDER KERNEL_RELEASE
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/versions.sh
. tools/versions.sh
# shellcheck source=tools/module-functions.sh
. tools/module-functions.sh

usage='usage: tools/build-guest-module.sh OUTPUT_FOLDER KERNEL_RELEASE'
output=${1:?$usage}
release=${2:?$usage}
need_headers "$release"

# Sources of their own: a build leaves its files beside them.
folder="$output/build"
mkdir -p "$folder"
for file in realm-guest-kit/memory/{Kbuild,realm_memory.c}; do
    cmp -s "$file" "$folder/${file##*/}" || cp "$file" "$folder"
done
build_module "$release" "$folder" realm_memory "$output/build.log" "$output/realm_memory.ko"
