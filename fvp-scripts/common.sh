# shellcheck shell=bash disable=SC2034
# What the scripts for Arm's model share: where things go in its memory, and how to say what is missing.

# Its DRAM: 2 GiB here, of which RME firmware keeps the last 64 MiB, and 2 GiB at 0x8_8000_0000.
DRAM_GIBIBYTES=4
# Room of TF-A for an RMM, less the page that it shares with EL3.
RMM_ROOM=$((0x2000000 - 0x1000))
# BL2 loads what the package has as normal-world firmware (BL33) to 0x8800_0000; these are behind that.
DEVICE_TREE_ADDRESS=0x8f000000
PAYLOAD_ADDRESS=0x90000000
PAYLOAD_END=0xa0000000
RAM_DISK_ADDRESS=0xa0000000
RAM_DISK_END=0xf0000000

# One line that says what is wrong and what to do, and the end. Exit code 2: nothing was started.
fail() {
    printf 'fvp: %s\n' "$1" >&2
    exit 2
}

say() {
    printf 'fvp: %s\n' "$1" >&2
}

# need_program NAME WHERE: a program that has to be there.
need_program() {
    command -v "$1" >/dev/null || fail "no $1: $2"
}

# need_file FILE WHERE
need_file() {
    [ -f "$1" ] || fail "no file $1: $2"
    [ -s "$1" ] || fail "$1 is empty: $2"
}

# need_value OPTION COUNT: an option at the end has no value.
need_value() {
    [ "$2" -gt 1 ] || fail "$1 wants a value (--help)"
}

# size_of FILE
size_of() {
    stat --dereference --format=%s "$1"
}

# little_endian VALUE: 8 bytes, on standard output.
little_endian() {
    local value=$(($1)) byte
    for byte in 0 1 2 3 4 5 6 7; do
        printf '%b' "\\x$(printf %02x $((value >> (8 * byte) & 0xff)))"
    done
}

# word FILE OFFSET: 8 bytes of a file as a number.
word() {
    od --address-radix=n --format=u8 --endian=little --skip-bytes="$2" --read-bytes=8 "$1" | tr -d ' '
}

# half FILE OFFSET: 4 bytes of a file as a number.
half() {
    od --address-radix=n --format=u4 --endian=little --skip-bytes="$2" --read-bytes=4 "$1" | tr -d ' '
}

# rmm_memory FILE CPUS BYTES: what an RMM takes from its load address on, with so many bytes of DRAM, by the
# header that the image has behind its first instruction (docs/integration.md). Fails without such a header.
rmm_memory() {
    local image=$1 cpus=$2 dram=$3
    # "CLSTRRMM"
    [ "$(word "$image" 8)" = $((0x4d4d525254534c43)) ] || return 1
    local bytes=$(($(word "$image" 24) + $(word "$image" 32) * cpus + $(half "$image" 40) * (dram >> 12) + $(half "$image" 44)))
    echo $(((bytes + 4095) & ~4095))
}

# The image that lies beside these scripts in an archive of `make dist`, else the one that was built here.
default_rmm() {
    if [ -f "$ROOT/rmm.img" ]; then
        echo "$ROOT/rmm.img"
    else
        echo "$ROOT/target/image/rmm.img"
    fi
}

need_fiptool() {
    need_program "${FIPTOOL:-fiptool}" "apt-get install arm-trusted-firmware-tools, or set FIPTOOL to TF-A's tools/fiptool/fiptool"
}
