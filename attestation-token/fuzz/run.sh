#!/usr/bin/env bash
# Fuzzes what comes from others: tokens, reference values, trust anchors, policies.
#
# usage: attestation-token/fuzz/run.sh [MINUTES [TARGET...]]
#
# Runs the targets (decode, verify, corim and policy unless named), each for MINUTES (60), as many at
# a time as FUZZ_JOBS says (half of the CPUs). What they start from is kept in kept/, and what they
# find is in artifacts/. Exit code 1 if one of them found something.
#
#   run.sh --keep    minimises the corpora and packs them into kept/
set -euo pipefail
[ -z "${CARGO_TARGET_DIR-}" ] || CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")
cd "$(dirname "$0")"

all=(decode verify corim policy)
build=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$build
host=$(rustc -vV | sed -n 's/^host: //p')

cargo +nightly fuzz --version >/dev/null 2>&1 || {
    echo "needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly && cargo install --locked cargo-fuzz" >&2
    exit 2
}

length() {
    case "$1" in
    policy) echo 4096 ;;
    *) echo 8192 ;;
    esac
}

keep() {
    local target
    for target in "${all[@]}"; do
        rm -rf "corpus/$target.small"
        mkdir -p "corpus/$target.small"
        "$build/$host/release/$target" -merge=1 "-max_len=$(length "$target")" \
            "corpus/$target.small" "corpus/$target" 2>&1 | tail -n 1
        rm -rf "corpus/$target"
        mv "corpus/$target.small" "corpus/$target"
        # The same files make the same archive.
        tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C corpus -c "$target" |
            xz -9e >"kept/$target.tar.xz"
    done
    ls -l kept
}

fuzz() {
    "$build/$host/release/$1" "corpus/$1" "-dict=$([ "$1" = policy ] && echo policy.dict || echo cbor.dict)" \
        "-max_len=$(length "$1")" "-max_total_time=$((minutes * 60))" -timeout=60 -print_final_stats=1 \
        "-artifact_prefix=artifacts/$1/" >"artifacts/$1.log" 2>&1
}

mkdir -p kept artifacts corpus
cargo +nightly run --quiet --release --bin seeds
cargo +nightly fuzz build
if [ "${1-}" = --keep ]; then
    keep
    exit
fi

minutes=${1:-60}
shift || true
[[ $minutes =~ ^[1-9][0-9]*$ ]] || {
    echo "run.sh: '$minutes' is no number of minutes" >&2
    exit 2
}
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=("${all[@]}")
jobs=${FUZZ_JOBS:-$((($(nproc) + 1) / 2))}

found=0
declare -A running=()
finish_one() {
    local process status=0
    wait -n -p process || status=$?
    local target=${running[$process]}
    unset "running[$process]"
    if [ "$status" -eq 0 ]; then
        echo "  $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "artifacts/$target.log") inputs, no finding"
    else
        found=1
        echo "  $target: FINDING"
        grep -aE 'panicked at|ERROR: |Test unit written' -A 1 "artifacts/$target.log" | head -n 8 || true
    fi
}
for target in "${targets[@]}"; do
    mkdir -p "artifacts/$target" "corpus/$target"
    [ ! -e "kept/$target.tar.xz" ] || tar -C corpus -xJf "kept/$target.tar.xz"
    while [ "${#running[@]}" -ge "$jobs" ]; do
        finish_one
    done
    echo "  $target: $minutes minutes, $(find "corpus/$target" -type f | wc -l) inputs to start from"
    fuzz "$target" &
    running[$!]=$target
done
while [ "${#running[@]}" -gt 0 ]; do
    finish_one
done
exit "$found"
