#!/usr/bin/env bash
# Builds the Debian packages: cloister-host-vmm, with the VMM, its unit and what belongs to it, and
# cloister-realm-dkms, with the Realm kernel module for DKMS. The same parts give the same bytes.
#
# usage: tools/build-deb.sh PROGRAMS_FOLDER MODULE_FOLDER DOCUMENTS_FOLDER OUTPUT_FOLDER
#
# PROGRAMS_FOLDER has host-vmm for arm64 (tools/build-linux.sh), MODULE_FOLDER the Rust half of the module
# (tools/build-module.sh), DOCUMENTS_FOLDER manual pages and completion scripts (host-vmm/examples/documents.rs).
#
#   DEBFULLNAME, DEBEMAIL   who maintains the packages that are built
#   SOURCE_DATE_EPOCH       the time of all files in them; else that of the last commit
set -euo pipefail
cd "$(dirname "$0")/.."

usage='usage: tools/build-deb.sh PROGRAMS_FOLDER MODULE_FOLDER DOCUMENTS_FOLDER OUTPUT_FOLDER'
programs=${1:?$usage}
module=${2:?$usage}
documents=${3:?$usage}
output=${4:?$usage}

DEBIAN=deploy/debian
SHIM=host-vmm/kmod/shim

fail() {
    echo "deb: $1" >&2
    exit 1
}

command -v dpkg-deb >/dev/null || fail 'no dpkg-deb: apt-get install dpkg'
for file in "$programs/host-vmm" "$module/rust/realm_core.o" "$documents"/man/host-vmm.1; do
    [ -s "$file" ] || fail "no $file: run 'make deb', which builds it first"
done

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || fail 'Cargo.toml has no version'
# Times of files: that of the last commit, or the beginning where there is no history.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-The Cloister authors} <${DEBEMAIL:-cloister@cloister.invalid}>"
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# put MODE FILE PATH: a file of the package that is being made.
put() {
    install -D -m "$1" "$2" "$root/$3"
}

# compressed FILE PATH: the same, as policy wants documents. No name and time: they would be those of the build.
compressed() {
    gzip -9n <"$1" >"$work/compressed"
    put 644 "$work/compressed" "$2.gz"
}

# Size of a folder in KiB as policy counts it: files rounded up, and one for everything else. It must not depend on
# the file system.
size() {
    find "$1" -path "$1/DEBIAN" -prune -o -type f -printf '%s\n' -o -printf '1\n' |
        awk '{ total += int(($1 + 1023) / 1024) } END { print total }'
}

# pack NAME: makes the package of what is in $root.
pack() {
    local name=$1 script
    mkdir -p "$root/DEBIAN"
    put 644 "$DEBIAN/copyright" "usr/share/doc/$name/copyright"
    cat >"$work/changelog" <<END
$name ($version) unstable; urgency=medium

  * Cloister $version; the history of its sources is the list of changes.

 -- $maintainer  $(LC_ALL=C date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
END
    compressed "$work/changelog" "usr/share/doc/$name/changelog"
    sed "s/@VERSION@/$version/; s/@MAINTAINER@/$maintainer/
        s/@SIZE@/$(size "$root")/" "$DEBIAN/$name.control" >"$root/DEBIAN/control"
    for script in postinst prerm postrm; do
        [ ! -e "$DEBIAN/$name.$script" ] || {
            sed "s/@VERSION@/$version/g" "$DEBIAN/$name.$script" >"$root/DEBIAN/$script"
            chmod 755 "$root/DEBIAN/$script"
        }
    done
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -print | LC_ALL=C sort | sed 's|^\./||' |
        xargs -d '\n' md5sum) >"$root/DEBIAN/md5sums"
    chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"
    find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    # One thread: how many there are must make no difference.
    dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$root" "$work/$name.deb" >/dev/null
    mkdir -p "$output"
    mv "$work/$name.deb" "$output/${name}_${version}_arm64.deb"
    echo "$output/${name}_${version}_arm64.deb"
}

name=cloister-host-vmm
root=$work/$name
put 755 "$programs/host-vmm" usr/bin/host-vmm
put 644 deploy/systemd/host-vmm@.service usr/lib/systemd/system/host-vmm@.service
put 644 "$DEBIAN/host-vmm.sysusers" usr/lib/sysusers.d/host-vmm.conf
for file in "$documents"/man/*.1; do
    compressed "$file" "usr/share/man/man1/$(basename "$file")"
done
put 644 "$documents/completions/host-vmm" usr/share/bash-completion/completions/host-vmm
put 644 "$documents/completions/_host-vmm" usr/share/zsh/vendor-completions/_host-vmm
put 644 "$documents/completions/host-vmm.fish" usr/share/fish/vendor_completions.d/host-vmm.fish
compressed host-vmm/README.md "usr/share/doc/$name/README.md"
compressed docs/operating.md "usr/share/doc/$name/operating.md"
put 644 "$DEBIAN/machine.toml" "usr/share/doc/$name/examples/machine.toml"
put 644 deploy/systemd/own-user.conf "usr/share/doc/$name/examples/own-user.conf"
put 644 "$DEBIAN/$name.lintian-overrides" "usr/share/lintian/overrides/$name"
install -d -m 750 "$root/etc/host-vmm"
pack "$name"

name=cloister-realm-dkms
root=$work/$name
source=usr/src/realm-$version
for file in "$SHIM"/Kbuild "$SHIM"/*.[ch]; do
    put 644 "$file" "$source/$(basename "$file")"
done
put 644 "$module/rust/realm_core.o" "$source/realm_core.o_shipped"
sed "s/@VERSION@/$version/g" "$DEBIAN/dkms.conf" >"$work/dkms.conf"
put 644 "$work/dkms.conf" "$source/dkms.conf"
put 644 "$DEBIAN/realm.modules-load" usr/lib/modules-load.d/realm.conf
put 644 "$DEBIAN/realm.rules" usr/lib/udev/rules.d/60-realm.rules
compressed host-vmm/kmod/README.md "usr/share/doc/$name/README.md"
put 644 "$DEBIAN/$name.lintian-overrides" "usr/share/lintian/overrides/$name"
pack "$name"
