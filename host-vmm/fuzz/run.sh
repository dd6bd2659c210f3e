#!/usr/bin/env bash
# Fuzzes what a guest can do: drivers of the virtio devices, vCPUs, Realms on the kernel module's core.
#
# usage: host-vmm/fuzz/run.sh [MINUTES [TARGET...]]
#
# Runs the targets (all of them unless named), each for MINUTES (60), one after the other. What they find
# is in artifacts/. Exit code 1 if one of them found something.
set -euo pipefail
[ -z "${CARGO_TARGET_DIR-}" ] || CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")
cd "$(dirname "$0")"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')

cargo +nightly fuzz --version >/dev/null 2>&1 || {
    echo "needs a nightly compiler and cargo-fuzz: rustup toolchain install nightly && cargo install --locked cargo-fuzz" >&2
    exit 2
}
minutes=${1:-60}
shift || true
[[ $minutes =~ ^[1-9][0-9]*$ ]] || {
    echo "run.sh: '$minutes' is no number of minutes" >&2
    exit 2
}
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(balloon block console net rng vsock vcpu realm)

# Nothing of the module's core and of the RMM below it is `unsafe`: without the sanitizer they are much faster.
programs() {
    if [ "$1" = realm ]; then
        echo "$CARGO_TARGET_DIR/plain"
    else
        echo "$CARGO_TARGET_DIR"
    fi
}
for target in "${targets[@]}"; do
    options=()
    [ "$target" != realm ] || options=(--sanitizer none --no-trace-compares)
    CARGO_TARGET_DIR=$(programs "$target") cargo +nightly fuzz build "${options[@]}" "$target"
done
found=0
for target in "${targets[@]}"; do
    mkdir -p "artifacts/$target" "corpus/$target"
    log=artifacts/$target.log
    if "$(programs "$target")/$host/release/$target" "corpus/$target" -max_len=2048 -len_control=0 \
        "-max_total_time=$((minutes * 60))" -timeout=20 -print_final_stats=1 \
        "-artifact_prefix=artifacts/$target/" >"$log" 2>&1; then
        echo "  $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no finding"
    else
        found=1
        echo "  $target: FINDING"
        grep -aE 'panicked at|ERROR: |Test unit written' -A 1 "$log" | head -n 8 || true
    fi
done
exit "$found"
