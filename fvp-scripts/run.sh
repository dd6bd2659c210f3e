#!/usr/bin/env bash
# Starts Arm's FVP Base RevC model with our RMM and a payload in the normal world. The consoles of payload,
# firmware and RMM come to standard output, line by line.
#
# usage: fvp-scripts/run.sh --firmware FOLDER [OPTION...] [-- OPTION_OF_THE_MODEL...]
#
#   --firmware FOLDER    bl1.bin and fip.bin of TF-A, as package.sh wants them
#   --model PROGRAM      the model (FVP_Base_RevC-2xAEMvA)
#   --rmm FILE           the image of the RMM (rmm.img beside this folder, or target/image/rmm.img)
#   --payload WHAT       test-host (as it is without this), linux, or a file in the arm64 Image format
#   --ram-disk FILE      initial RAM disk of the payload, instead of the payload's own
#   --bootargs TEXT      its command line
#   --cpus N             1 to 8 CPUs (2)
#   --out FOLDER         where package, device tree and consoles go (target/fvp)
#   --terminals          consoles on the model's own terminals, to type there, instead of here
#   --dry-run            print the whole command line of the model instead of starting it
#
# Exit codes: of the test host its own (docs/development.md); else the model's; 2 also for wrong use, or
# when something is missing.
#
#   FIPTOOL              as for package.sh
#
# example: fvp-scripts/run.sh --firmware ~/tf-a/build/fvp/release --payload linux --cpus 4 --terminals
set -euo pipefail

SCRIPTS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$SCRIPTS")
# shellcheck source=fvp-scripts/common.sh
. "$SCRIPTS/common.sh"

model=FVP_Base_RevC-2xAEMvA
firmware=
rmm=$(default_rmm)
payload=test-host
ram_disk=
bootargs=
cpus=2
out="$ROOT/target/fvp"
terminals=
dry_run=
while [ $# -gt 0 ]; do
    case "$1" in
    --help | -h)
        sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"
        exit 0
        ;;
    --terminals) terminals=yes ;;
    --dry-run) dry_run=yes ;;
    --firmware | --model | --rmm | --payload | --ram-disk | --bootargs | --cpus | --out)
        need_value "$1" $#
        case "$1" in
        --firmware) firmware=$2 ;;
        --model) model=$2 ;;
        --rmm) rmm=$2 ;;
        --payload) payload=$2 ;;
        --ram-disk) ram_disk=$2 ;;
        --bootargs) bootargs=$2 ;;
        --cpus) cpus=$2 ;;
        --out) out=$2 ;;
        esac
        shift
        ;;
    --)
        shift
        break
        ;;
    *) fail "unknown option $1 (--help)" ;;
    esac
    shift
done
[ -n "$firmware" ] || fail "--firmware is missing (--help)"
[[ $cpus =~ ^[1-8]$ ]] || fail "--cpus wants a number from 1 to 8, not '$cpus'"
[ "${#bootargs}" -le 2048 ] || fail "--bootargs has ${#bootargs} characters, 2048 is the limit"
[[ $bootargs != *[[:cntrl:]]* ]] || fail "--bootargs has a character that no command line can have"

is_test_host=
case "$payload" in
test-host)
    is_test_host=yes
    payload="$ROOT/target/payloads/ns-host.img"
    ram_disk=${ram_disk:-$ROOT/target/payloads/realm-payload.img}
    need_file "$payload" "'make payloads' builds it"
    need_file "$ram_disk" "'make payloads' builds it"
    ;;
linux)
    payload="$ROOT/target/host/Image"
    ram_disk=${ram_disk:-$ROOT/target/host/initrd}
    bootargs=${bootargs:-console=ttyAMA0 earlycon=pl011,0x1c090000}
    need_file "$payload" "'make host-image' builds it"
    need_file "$ram_disk" "'make host-image' builds it"
    ;;
*)
    need_file "$payload" "--payload is test-host, linux, or a file"
    ;;
esac
# "ARM\x64" at 0x38; text offset at 0x08, size in memory at 0x10.
[ "$(od --address-radix=n --format=x4 --endian=little --skip-bytes=56 --read-bytes=4 "$payload" | tr -d ' ')" = 644d5241 ] ||
    fail "$payload is not in the arm64 Image format"
[ "$(word "$payload" 8)" -eq 0 ] || fail "$payload has a text offset, which is not supported: it is an old kernel"
room=$((PAYLOAD_END - PAYLOAD_ADDRESS))
{ [ "$(word "$payload" 16)" -le "$room" ] && [ "$(size_of "$payload")" -le "$room" ]; } ||
    fail "$payload takes more than $room bytes"
ram_disk_size=0
if [ -n "$ram_disk" ]; then
    need_file "$ram_disk" "--ram-disk names it"
    ram_disk_size=$(size_of "$ram_disk")
    [ "$ram_disk_size" -le $((RAM_DISK_END - RAM_DISK_ADDRESS)) ] ||
        fail "$ram_disk takes more than $((RAM_DISK_END - RAM_DISK_ADDRESS)) bytes"
fi

need_program dtc "apt-get install device-tree-compiler"
[ -n "$dry_run" ] || need_program "$model" "get 'Armv-A Base RevC AEM FVP' from Arm, and name the program with --model"

package=("$SCRIPTS/package.sh" --firmware "$firmware" --rmm "$rmm")
if [ -n "$dry_run" ]; then
    "${package[@]}" --check
else
    "${package[@]}" --out "$out"
    mkdir -p "$out/consoles"
    "$SCRIPTS/device-tree.sh" "$cpus" "$bootargs" "$ram_disk_size" >"$out/fvp.dts"
    dtc --quiet -I dts -O dtb -o "$out/fvp.dtb" "$out/fvp.dts" || fail "dtc does not take $out/fvp.dts"
fi

# parameter NAME=VALUE...
arguments=()
parameter() {
    local one
    for one in "$@"; do
        arguments+=(-C "$one")
    done
}

# The board: memory, counter, secure memory; it ends when the payload switches it off.
parameter bp.secureflashloader.fname="$out/bl1.bin" bp.flashloader0.fname="$out/fip.bin" \
    bp.dram_size="$DRAM_GIBIBYTES" bp.secure_memory=1 bp.has_rme=1 \
    bp.refcounter.non_arch_start_at_default=1 bp.refcounter.use_real_time=0 \
    bp.ve_sysregs.exit_on_shutdown=1 bp.vis_hdlcd.disable_visualisation=1 \
    cache_state_modelled=1 pctl.startup=0.0.0.0
# The SMMU has to know the Root and Realm worlds as well; TF-A sets it up.
parameter pci.pci_smmuv3.mmu.SMMU_AIDR=2 pci.pci_smmuv3.mmu.SMMU_IDR0=0x0046123B \
    pci.pci_smmuv3.mmu.SMMU_IDR1=0x00600002 pci.pci_smmuv3.mmu.SMMU_IDR3=0x1714 \
    pci.pci_smmuv3.mmu.SMMU_IDR5=0xFFFF0475 pci.pci_smmuv3.mmu.SMMU_S_IDR1=0xA0000002 \
    pci.pci_smmuv3.mmu.SMMU_S_IDR2=0 pci.pci_smmuv3.mmu.SMMU_S_IDR3=0 \
    pci.pci_smmuv3.mmu.SMMU_ROOT_IDR0=3 pci.pci_smmuv3.mmu.SMMU_ROOT_IIDR=0x43B \
    pci.pci_smmuv3.mmu.root_register_page_offset=0x20000
# The CPUs: RME with 4 KiB granules, what RME requires beside it, the GIC by system registers only.
cores=($((cpus < 4 ? cpus : 4)) $((cpus > 4 ? cpus - 4 : 0)))
for cluster in 0 1; do
    name=cluster$cluster
    parameter $name.NUM_CORES="${cores[$cluster]}" $name.PA_SIZE=48 $name.rme_support_level=2 \
        $name.has_arm_v8-6=1 $name.has_amu=1 $name.has_branch_target_exception=1 $name.has_rndr=1 \
        $name.has_v8_7_pmu_extension=2 $name.ecv_support_level=2 $name.max_32bit_el=-1 \
        $name.gicv3.cpuintf-mmap-access-level=2 $name.gicv3.without-DS-support=1 \
        $name.gicv4.mask-virtual-interrupt=1 $name.stage12_tlb_size=1024 $name.check_memory_attributes=0 \
        $name.restriction_on_speculative_execution=2 $name.restriction_on_speculative_execution_aarch32=2
    # The test host ends the model by semihosting.
    for ((core = 0; core < cores[cluster]; core++)); do
        parameter $name.cpu$core.semihosting-enable=1
    done
done
# UART 0 is the payload's after firmware's, 1 of EL3 at run time, 3 the RMM's.
for uart in 0 1 2 3; do
    if [ -n "$terminals" ]; then
        parameter bp.terminal_$uart.start_telnet=1
    else
        parameter bp.terminal_$uart.start_telnet=0 bp.pl011_uart$uart.unbuffered_output=1 \
            bp.pl011_uart$uart.out_file="$out/consoles/uart$uart"
    fi
done
arguments+=(--data "cluster0.cpu0=$out/fvp.dtb@$DEVICE_TREE_ADDRESS"
    --data "cluster0.cpu0=$payload@$PAYLOAD_ADDRESS")
if [ -n "$ram_disk" ]; then
    arguments+=(--data "cluster0.cpu0=$ram_disk@$RAM_DISK_ADDRESS")
fi
arguments+=("$@")

if [ -n "$dry_run" ]; then
    printf '%q' "$model"
    # An option and its value in one line.
    for argument in "${arguments[@]}"; do
        case "$argument" in
        -C | --data) printf ' \\\n    %s' "$argument" ;;
        *) printf ' %q' "$argument" ;;
        esac
    done
    echo
    exit 0
fi
if [ -n "$terminals" ]; then
    exec "$model" "${arguments[@]}"
fi

# The model must not outlive this script, however that ends.
mortal=()
if command -v setpriv >/dev/null; then
    mortal=(setpriv --pdeathsig KILL --)
fi
children=()
# shellcheck disable=SC2317,SC2329 # called by the trap
end() {
    local child
    for child in "${children[@]}"; do
        kill "$child" 2>/dev/null || true
    done
}
trap end EXIT
# A line at a time, so that those of different consoles do not mix; each console is also kept in a file. This
# shell opens all ends, so that nobody waits for a console that the model never opens, and holds an end for
# writing until the model has ended; nobody else may hold that.
rm -f "$out"/consoles/uart?.log
for uart in 0 1 2 3; do
    pipe="$out/consoles/uart$uart"
    rm -f "$pipe"
    mkfifo "$pipe"
    case $uart in
    0) exec 10<>"$pipe" ;;
    1) exec 11<>"$pipe" ;;
    2) exec 12<>"$pipe" ;;
    3) exec 13<>"$pipe" ;;
    esac
    exec 20<"$pipe"
    "${mortal[@]}" sed -u -e 's/\r$//' -e "w $pipe.log" <&20 10<&- 11<&- 12<&- 13<&- 20<&- &
    children+=($!)
done
exec 20<&-
readers=("${children[@]}")
"${mortal[@]}" "$model" "${arguments[@]}" >"$out/model.log" 2>&1 10<&- 11<&- 12<&- 13<&- &
model_process=$!
children+=("$model_process")

# Whether the test host has come to its end, and how: that is in its report, whatever the model makes of it.
verdict() {
    code=
    if [ -n "$is_test_host" ] && grep -q '^ns-host: done ' "$out/consoles/uart0.log" 2>/dev/null; then
        code=0
        grep -q '^ns-host: done .* 0 failed' "$out/consoles/uart0.log" || code=1
    fi
}
patience=20
while kill -0 "$model_process" 2>/dev/null; do
    verdict
    if [ -n "$code" ]; then
        # It ends the model by semihosting. A model that does not know that has to be ended.
        patience=$((patience - 1))
        [ "$patience" -gt 0 ] || kill "$model_process" 2>/dev/null || true
    fi
    sleep 0.1
done
status=0
wait "$model_process" || status=$?
# What is still in the pipes.
exec 10<&- 11<&- 12<&- 13<&-
wait "${readers[@]}" || true
verdict
if [ -z "$code" ]; then
    code=$status
    if [ "$status" -ne 0 ]; then
        say "the model ended with exit code $status:"
        tail -n 5 "$out/model.log" | sed 's/^/      | /' >&2
    fi
fi
exit "$code"
