#!/usr/bin/env bash
# Builds the RMM image and what goes with it. Folder and time leave no trace in any of the files.
#
# usage: tools/build-image.sh BUILD_FOLDER OUTPUT_FOLDER
#
#   rmm.img                what firmware loads
#   rmm.elf                the same with symbols and line tables, for debuggers
#   rmm.map                the link map
#   rmm.cdx.json           bill of materials (CycloneDX)
#   rmm.measurement.toml   what a platform token says of rmm.img: reference values for cca-token verify
#   rmm.revision           version, revision of the sources, compiler
#   rmm.sha256             checksums of all of them
#
#   IMAGE_TOOL             use this program instead of the one in BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: tools/build-image.sh BUILD_FOLDER OUTPUT_FOLDER}
output=${2:?usage: tools/build-image.sh BUILD_FOLDER OUTPUT_FOLDER}
image_tool=${IMAGE_TOOL:-$build/debug/image-tool}

# Said once, so that what happens to the sources meanwhile cannot give the files different revisions.
CLOISTER_REVISION=$(tools/revision.sh)
export CLOISTER_REVISION

built="$build/aarch64-unknown-none-softfloat/release"
mkdir -p "$built" "$output"
# The linker writes the map, which is nothing that cargo knows of: a program that cargo has kept from an
# earlier build would come with the map of a later one. Its checksum says whose map it is.
build_program() {
    touch "$built/rmm.map.before"
    CARGO_TARGET_DIR="$build" tools/bare-metal-cargo.sh build --quiet -p rmm-image
    if [ "$built/rmm.map" -nt "$built/rmm.map.before" ]; then
        sha256sum <"$built/rmm" >"$built/rmm.map.of"
    fi
}
build_program
if [ "$(sha256sum <"$built/rmm")" != "$(cat "$built/rmm.map.of" 2>/dev/null)" ]; then
    touch rmm/image/link.ld
    build_program
fi
new=$(mktemp -d "$output/new.XXXXXX")
trap 'rm -rf "$new"' EXIT

"$image_tool" flat "$built/rmm" "$new/rmm.img"
cp "$built/rmm" "$new/rmm.elf"
# Object files by name only: their folders are this machine's.
sed -E 's#[^ (]*/##g' "$built/rmm.map" >"$new/rmm.map"
"$image_tool" sbom --image "$new/rmm.img" --revision "$CLOISTER_REVISION" -o "$new/rmm.cdx.json"
"$image_tool" measurement "$new/rmm.img" -o "$new/rmm.measurement.toml"
version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version = "\(.*\)"/\1/p' Cargo.toml)
printf 'version %s\nrevision %s\ncompiler %s\n' "$version" "$CLOISTER_REVISION" "$(rustc --version)" \
    >"$new/rmm.revision"
"$image_tool" check "$new/rmm.elf" --sbom "$new/rmm.cdx.json"
files=(rmm.img rmm.elf rmm.map rmm.cdx.json rmm.measurement.toml rmm.revision)
(cd "$new" && sha256sum "${files[@]}" >rmm.sha256)
# Whoever reads files of an earlier build meanwhile has whole ones.
for file in "${files[@]}" rmm.sha256; do
    mv "$new/$file" "$output/$file"
done
