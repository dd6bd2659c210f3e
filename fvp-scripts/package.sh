#!/usr/bin/env bash
# Checks a firmware package for Arm's FVP Base RevC model, and makes a copy of it with our RMM and with a
# piece of code in the place of the normal world's firmware that starts what run.sh loads.
#
# usage: fvp-scripts/package.sh --firmware FOLDER --out FOLDER [--rmm FILE] [--check] [--dry-run]
#
#   --firmware FOLDER   bl1.bin and fip.bin of TF-A, built with PLAT=fvp ENABLE_RME=1
#   --out FOLDER        where the copy goes
#   --rmm FILE          the image of the RMM (rmm.img beside this folder, or target/image/rmm.img)
#   --check             check only
#   --dry-run           print the commands that change something instead of running them
#
# Exit codes: 0 done; 2 wrong use, something is missing, or the package does not fit.
#
#   FIPTOOL      use this fiptool
#
# example: fvp-scripts/package.sh --firmware ~/tf-a/build/fvp/release --out target/fvp
set -euo pipefail

SCRIPTS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$SCRIPTS")
# shellcheck source=fvp-scripts/common.sh
. "$SCRIPTS/common.sh"

firmware=
out=
rmm=$(default_rmm)
check=
dry_run=
while [ $# -gt 0 ]; do
    case "$1" in
    --help | -h)
        sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"
        exit 0
        ;;
    --check) check=yes ;;
    --dry-run) dry_run=yes ;;
    --firmware | --out | --rmm)
        need_value "$1" $#
        case "$1" in
        --firmware) firmware=$2 ;;
        --out) out=$2 ;;
        --rmm) rmm=$2 ;;
        esac
        shift
        ;;
    *) fail "unknown option $1 (--help)" ;;
    esac
    shift
done
[ -n "$firmware" ] || fail "--firmware is missing (--help)"
[ -n "$out$check" ] || fail "--out is missing (--help)"

fiptool=${FIPTOOL:-fiptool}
how_to_build="build TF-A 2.10 to 2.14 with PLAT=fvp ENABLE_RME=1 FVP_HW_CONFIG_DTS=fdts/fvp-base-gicv3-psci-1t.dts"

need_fiptool
need_file "$firmware/bl1.bin" "$how_to_build"
need_file "$firmware/fip.bin" "$how_to_build"
need_file "$rmm" "'make image' builds it"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is in the package: has OPTION, by the option of fiptool that packs it.
"$fiptool" info "$firmware/fip.bin" >"$work/info" 2>&1 ||
    fail "$firmware/fip.bin is no firmware package: $(head -n 1 "$work/info")"
has() {
    grep -qF -- "cmdline=\"--$1\"" "$work/info"
}
for part in tb-fw:BL2 soc-fw:BL31 hw-config:HW_CONFIG nt-fw:BL33; do
    has "${part%%:*}" || fail "$firmware/fip.bin has no ${part#*:}: $how_to_build"
done
has rmm-fw || fail "$firmware/fip.bin has no RMM, so it was built without ENABLE_RME=1: $how_to_build"
if grep -qE -- 'cmdline="--[a-z-]*cert"' "$work/info"; then
    fail "$firmware/fip.bin is authenticated, and would refuse another RMM: build it without TRUSTED_BOARD_BOOT, or sign it again with cert_create"
fi

"$fiptool" unpack --force --out "$work" "$firmware/fip.bin" || fail "cannot unpack $firmware/fip.bin"
# Like "v2.13.0(release):v2.13.0-5-g0123456"; no pipe that grep would break.
version=$(grep -aoE -m 1 'v[0-9]+\.[0-9]+[0-9.]*\([a-z]+\):[[:graph:]]*' "$work/soc-fw.bin" || true)
version=${version%%$'\n'*}
if [[ $version =~ ^v([0-9]+)\.([0-9]+) ]]; then
    number=$((10#${BASH_REMATCH[1]} * 1000 + 10#${BASH_REMATCH[2]}))
    if [ "$number" -lt 2010 ]; then
        fail "TF-A $version speaks RMM-EL3 interface 0.1, which is too old: $how_to_build"
    elif [ "$number" -gt 2014 ]; then
        say "TF-A $version: it must have been built with RMM_V1_COMPAT=1, or the RMM refuses interface 2.0"
    else
        say "TF-A $version"
    fi
else
    say "no version in BL31: this has to be TF-A 2.10 to 2.14, or later with RMM_V1_COMPAT=1"
fi

need=$(rmm_memory "$rmm" 8 $((DRAM_GIBIBYTES << 30))) || fail "$rmm is no image of our RMM"
[ "$need" -le "$RMM_ROOM" ] || fail "$rmm needs $need bytes with its tables, and there is room for $RMM_ROOM"
say "RMM: $(size_of "$rmm") bytes, with its tables $need of $RMM_ROOM"
if [ -n "$check" ]; then
    say "the package fits"
    exit 0
fi

# The start of the normal world: X0 = device tree, X1 to X3 = 0, on at the payload, as the boot protocol of
# arm64 Linux has it. Whatever firmware hands over is for what it thinks it starts.
{
    printf '%b' '\xc0\x00\x00\x58' # ldr x0, device_tree
    printf '%b' '\xe1\x03\x1f\xaa' # mov x1, xzr
    printf '%b' '\xe2\x03\x1f\xaa' # mov x2, xzr
    printf '%b' '\xe3\x03\x1f\xaa' # mov x3, xzr
    printf '%b' '\x84\x00\x00\x58' # ldr x4, payload
    printf '%b' '\x80\x00\x1f\xd6' # br  x4
    little_endian "$DEVICE_TREE_ADDRESS"
    little_endian "$PAYLOAD_ADDRESS"
} >"$work/start.bin"

run() {
    if [ -n "$dry_run" ]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}
run mkdir -p "$out"
run cp "$firmware/bl1.bin" "$out/bl1.bin"
run cp "$work/start.bin" "$out/start.bin"
run "$fiptool" update --rmm-fw "$rmm" --nt-fw "$out/start.bin" --out "$out/fip.bin.new" "$firmware/fip.bin"
run mv "$out/fip.bin.new" "$out/fip.bin"
[ -n "$dry_run" ] || say "$out has bl1.bin and fip.bin"
