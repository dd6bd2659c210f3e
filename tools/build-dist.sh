#!/usr/bin/env bash
# Packs the RMM image and what goes with it into one archive, whose bytes follow from its content.
#
# usage: tools/build-dist.sh BUILD_FOLDER IMAGE_FOLDER OUTPUT_FOLDER
#
# IMAGE_FOLDER has what tools/build-image.sh made. The result is
# OUTPUT_FOLDER/cloister-rmm-VERSION-REVISION.tar.gz, with a checksum beside it.
#
#   IMAGE_TOOL   use this program instead of the one in BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

usage='usage: tools/build-dist.sh BUILD_FOLDER IMAGE_FOLDER OUTPUT_FOLDER'
build=${1:?$usage}
image=${2:?$usage}
output=${3:?$usage}
image_tool=${IMAGE_TOOL:-$build/debug/image-tool}

[ -r "$image/rmm.sha256" ] || {
    echo "dist: no $image/rmm.sha256: run 'make image' first" >&2
    exit 2
}
(cd "$image" && sha256sum --check --quiet rmm.sha256) || {
    echo "dist: the files in $image do not belong together: run 'make image' again" >&2
    exit 1
}
version=$(sed -n 's/^version //p' "$image/rmm.revision")
revision=$(sed -n 's/^revision //p' "$image/rmm.revision")
name="cloister-rmm-$version-$revision"

mkdir -p "$output"
work=$(mktemp -d "$output/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
root="$work/$name"
mkdir -p "$root"
sed 's/^[^ ]*  //' "$image/rmm.sha256" | while read -r file; do
    cp "$image/$file" "$root/$file"
done
cp "$image/rmm.sha256" LICENSE-APACHE LICENSE-MIT "$root/"
cp -R docs fvp-scripts "$root/"
"$image_tool" licences -o "$root/licences"

# Nothing of this machine: not the order of its file system, not its clock, not its users.
tar --create --directory "$work" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --mode='u=rwX,go=rX' "$name" | gzip -9 --no-name >"$work/$name.tar.gz"
(cd "$work" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
mv "$work/$name.tar.gz" "$work/$name.tar.gz.sha256" "$output/"
echo "$output/$name.tar.gz"
