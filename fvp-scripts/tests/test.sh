#!/usr/bin/env bash
# Tests the scripts for Arm's model with a stand-in for it: what they check, what they hand over, how a report
# comes back. Nothing of the model itself is shown by this.
#
# usage: fvp-scripts/tests/test.sh     after `make payloads`
#
# The last line is a count; exit code 1 when something failed.
set -uo pipefail

TESTS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$(dirname "$TESTS")")
cd "$ROOT" || exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# ok NAME COMMAND...: the command succeeds.
ok() {
    if "${@:2}" >"$work/output" 2>&1; then
        echo "  ok     $1"
        passed=$((passed + 1))
    else
        sed 's/^/      | /' "$work/output"
        echo "  FAILED $1"
        failed=$((failed + 1))
    fi
}

# ends CODE TEXT COMMAND...: the command ends with this code, and says this text.
ends() {
    local code=$1 text=$2 status=0 output
    output=$("${@:3}" 2>&1) || status=$?
    if [ "$status" -ne "$code" ]; then
        echo "exit code $status instead of $code"
    elif ! grep -qF -- "$text" <<<"$output"; then
        echo "'$text' was not said"
    else
        return 0
    fi
    printf '%s\n' "$output"
    return 1
}

# A package with these parts, and a version in BL31: package FOLDER VERSION OPTION...
package() {
    local folder=$1 part options=()
    mkdir -p "$folder"
    echo bl1 >"$folder/bl1.bin"
    printf 'code\0%s(release):%s\0code' "$2" "$2" >"$work/bl31"
    echo part >"$work/part"
    for part in "${@:3}"; do
        options+=("--$part" "$work/part")
    done
    fiptool create --soc-fw "$work/bl31" "${options[@]}" "$folder/fip.bin"
}
whole=(tb-fw hw-config nt-fw rmm-fw)
package "$work/good" v2.13.0 "${whole[@]}"
package "$work/old" v2.9.0 "${whole[@]}"
package "$work/new" v2.15.0 "${whole[@]}"
package "$work/no-rme" v2.13.0 tb-fw hw-config nt-fw
package "$work/no-device-tree" v2.13.0 tb-fw nt-fw rmm-fw
package "$work/authenticated" v2.13.0 "${whole[@]}" tb-fw-cert
mkdir "$work/no-package"
echo bl1 >"$work/no-package/bl1.bin"
echo nonsense >"$work/no-package/fip.bin"

check() { fvp-scripts/package.sh --check --firmware "$work/$1"; }
ok package/fits ends 0 'TF-A v2.13.0(release)' check good
# What the scripts read of the image's header is what the program for it reads.
needs_as_much() {
    local bytes
    bytes=$("${IMAGE_TOOL:-target/debug/image-tool}" memory target/image/rmm.img --cpus 8 --dram 4G --bytes) &&
        ends 0 "with its tables $bytes of" check good
}
ok package/needs-as-much needs_as_much
# An archive of `make dist` has nothing but these.
from_an_archive() {
    mkdir -p "$work/archive" && cp -R fvp-scripts target/image/rmm.img "$work/archive/" &&
        ends 0 'the package fits' "$work/archive/fvp-scripts/package.sh" --check --firmware "$work/good"
}
ok package/from-an-archive from_an_archive
ok package/too-old ends 2 'interface 0.1, which is too old' check old
ok package/newer-wants-compatibility ends 0 'RMM_V1_COMPAT=1' check new
ok package/without-rme ends 2 'built without ENABLE_RME=1' check no-rme
ok package/without-device-tree ends 2 'has no HW_CONFIG' check no-device-tree
ok package/authenticated ends 2 'would refuse another RMM' check authenticated
ok package/not-one ends 2 'is no firmware package' check no-package
ok package/not-there ends 2 'no file' check nowhere
ok package/no-rmm-of-ours ends 2 'is no image of our RMM' \
    fvp-scripts/package.sh --check --firmware "$work/good" --rmm target/image/rmm.elf
ok package/no-fiptool ends 2 'apt-get install arm-trusted-firmware-tools' \
    env FIPTOOL=no-such-fiptool fvp-scripts/package.sh --check --firmware "$work/good"

has_the_rmm() {
    fvp-scripts/package.sh --firmware "$work/good" --out "$work/out" &&
        fiptool unpack --force --out "$work/out" "$work/out/fip.bin" &&
        cmp "$work/out/rmm-fw.bin" target/image/rmm.img &&
        cmp "$work/out/soc-fw.bin" "$work/bl31-of-good" &&
        cmp "$work/out/bl1.bin" "$work/good/bl1.bin"
}
printf 'code\0v2.13.0(release):v2.13.0\0code' >"$work/bl31-of-good"
ok package/has-the-rmm-and-all-else has_the_rmm

# The start of the normal world, by hand: six instructions, the device tree's address, the payload's.
starts_the_payload() {
    [ "$(od -An -v -t x4 --endian=little "$work/out/nt-fw.bin" | tr -d '\n')" = \
        ' 580000c0 aa1f03e1 aa1f03e2 aa1f03e3 58000084 d61f0080 8f000000 00000000 90000000 00000000' ]
}
ok package/starts-the-payload starts_the_payload

changes_nothing() {
    local said
    # All of it: a script whose reader has gone fails.
    said=$(fvp-scripts/package.sh --firmware "$work/good" --out "$work/dry" --dry-run) &&
        [[ "$said" == *'update --rmm-fw'* ]] && [ ! -e "$work/dry" ]
}
ok package/dry-run changes_nothing

run() { fvp-scripts/run.sh --firmware "$work/good" --out "$work/run" --model fvp-scripts/tests/stand-in-model "$@"; }
prints_all() {
    local text
    text=$(run --dry-run --cpus 6 --payload test-host -- -C bp.extra=1) && [ ! -e "$work/run" ] || return
    for part in fvp-scripts/tests/stand-in-model cluster0.NUM_CORES=4 cluster1.NUM_CORES=2 \
        cluster1.rme_support_level=2 bp.secureflashloader.fname= "fip.bin" \
        gicv3.without-DS-support=1 bp.pl011_uart3.out_file= fvp.dtb@0x8f000000 ns-host.img@0x90000000 \
        realm-payload.img@0xa0000000 bp.extra=1; do
        grep -qF -- "$part" <<<"$text" || {
            echo "no $part in: $text"
            return 1
        }
    done
}
ok run/dry-run-prints-the-command-line prints_all
without_the_model() { fvp-scripts/run.sh --firmware "$work/good" --out "$work/run" --model no-such-model "$@"; }
ok run/dry-run-without-the-model ends 0 no-such-model without_the_model --dry-run
ok run/no-model ends 2 'name the program with --model' without_the_model
ok run/no-such-payload ends 2 '--payload is test-host, linux, or a file' run --payload nowhere
ok run/payload-is-no-kernel ends 2 'not in the arm64 Image format' run --payload target/image/rmm.img
ok run/too-many-cpus ends 2 'from 1 to 8' run --cpus 9
ok run/option-without-value ends 2 'wants a value' run --cpus
ok run/unknown-option ends 2 'unknown option --cpu' run --cpu 2
ok run/bootargs-of-two-lines ends 2 'no command line can have' run --bootargs $'a\nb'
ok run/bad-package ends 2 'built without ENABLE_RME=1' \
    fvp-scripts/run.sh --firmware "$work/no-rme" --model fvp-scripts/tests/stand-in-model

# as STAND_IN COMMAND...
as() { STAND_IN=$1 "${@:2}"; }
ok run/good ends 0 'ns-host: done 2 passed' run
ok run/consoles-come-in-whole-lines ends 0 'rmm: a line while granule/two runs' run
ok run/exit-code-is-the-reports ends 1 'ns-host: done 1 passed, 1 failed' as failure run
ok run/ends-a-model-that-stays ends 0 'ns-host: done 2 passed' as stays run
ok run/model-that-refuses ends 3 'cannot set bp.has_rme' as refused run
hands_over_bootargs() {
    as starts run --bootargs 'mode=test only="a,b" x\y' &&
        grep -qxF 'bootargs mode=test only="a,b" x\y' "$work/run/model.log"
}
ok run/bootargs-arrive hands_over_bootargs
other_payload() {
    cp target/payloads/ns-host.img "$work/Image"
    as starts run --payload "$work/Image"
}
ok run/another-payload ends 0 '' other_payload

none_left() {
    STAND_IN=silent fvp-scripts/run.sh --firmware "$work/good" --out "$work/run" \
        --model fvp-scripts/tests/stand-in-model &
    until_model_is there || return 1
    kill -KILL $!
    until_model_is gone
}
# until_model_is there|gone
until_model_is() {
    local is _
    for _ in {1..100}; do
        is=gone
        ! pgrep -f "stand-in-model of $work/run/" >/dev/null || is=there
        [ "$is" != "$1" ] || return 0
        sleep 0.1
    done
    echo "the model is still $is"
    return 1
}
if command -v setpriv >/dev/null; then
    ok run/nothing-outlives-it none_left
fi

suite() {
    fvp-scripts/test.sh --firmware "$work/good" --out "$work/run" --model fvp-scripts/tests/stand-in-model \
        --cpus 4 -- --logs "$work/logs" --json --time-scale 1 "$@"
}
ok suite/passes ends 0 '"passed": 2' suite
ok suite/failure-is-one ends 1 '"failed": 1' as failure suite
ok suite/choice-of-tests ends 0 '"passed": 1' suite --only granule/one
ok suite/crash-is-a-failure-and-the-rest-runs ends 1 '"passed": 1' as crash suite
ok suite/hang-is-a-failure ends 1 'no report within' as silent suite --boot-limit 3 --restarts 0
ok suite/wrong-package ends 2 'built without ENABLE_RME=1' \
    fvp-scripts/test.sh --firmware "$work/no-rme" --model fvp-scripts/tests/stand-in-model

for script in package run test; do
    ok "help/$script" ends 0 'example: ' "fvp-scripts/$script.sh" --help
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
