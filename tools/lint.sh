#!/usr/bin/env bash
# Format and lints for everything in the checkout, one line per check.
#
# usage: tools/lint.sh [--code]     --code: without the checks whose tools the set-up does not bring
set -uo pipefail
cd "$(dirname "$0")/.." || exit

host_packages=(--workspace --exclude rmm-image --exclude el3-probe --exclude realm-kmod)
bare_metal_packages=(rmm-image el3-monitor ns-host el3-probe realm-kmod)
# What runs on Linux hosts and in Linux guests, as it is built for them.
linux_packages=(host-vmm hostile-vmm realm-kit stream-end workload)
locked=()
[ -z "${CI-}" ] || locked=(--locked)
passed=0
failed=0
skipped=0

# check NAME COMMAND...
check() {
    local output
    if output=$("${@:2}" 2>&1); then
        echo "  ok     $1"
        passed=$((passed + 1))
    else
        printf '%s\n' "$output"
        echo "  FAILED $1"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "  skip   $1: $2"
    skipped=$((skipped + 1))
}

check format cargo fmt --all --check
check clippy-host cargo clippy --quiet "${locked[@]}" "${host_packages[@]}" --all-targets -- -D warnings
# One build for each kind of machine: what the packages have in common is looked at once.
check clippy-bare-metal tools/bare-metal-cargo.sh clippy --quiet "${bare_metal_packages[@]/#/--package=}" -- -D warnings
# It has no allocator, which the features that others want of a library would ask for.
check clippy-realm-payload tools/bare-metal-cargo.sh clippy --quiet -p realm-payload -- -D warnings
check clippy-linux tools/linux-cargo.sh clippy --quiet "${linux_packages[@]/#/--package=}" -- -D warnings
# Both halves of the library, as a bare-metal verifier and one in a browser would have them.
library=(-p attestation-token --no-default-features --features "rustcrypto,corim,rego")
check library-bare-metal tools/bare-metal-cargo.sh clippy --quiet "${library[@]}" -- -D warnings
check library-browser tools/bare-metal-cargo.sh --browser clippy --quiet "${library[@]}" -- -D warnings
check shellcheck shellcheck -x tools/*.sh tools/setup/*.sh fvp-scripts/*.sh fvp-scripts/tests/* \
    tests/linux/init tests/linux/*-init tests/linux/host-soak tests/linux/*-load tests/linux/unit-report deploy/debian/*.p* \
    host-vmm/fuzz/run.sh .ci/run
if [ "${1-}" != --code ]; then
    # Fuzz targets are no part of the workspace. Only a program that is linked needs libFuzzer.
    for fuzz in attestation-token/fuzz host-vmm/fuzz; do
        CUSTOM_LIBFUZZER_PATH=/none check "clippy-$fuzz" cargo clippy --quiet --locked --target-dir "${CARGO_TARGET_DIR:-target}" \
            --manifest-path "$fuzz/Cargo.toml" -- -D warnings
    done
fi
if [ "${1-}" = --code ]; then
    :
elif command -v cargo-deny >/dev/null; then
    check cargo-deny cargo deny --log-level error check bans licenses sources
    for fuzz in attestation-token/fuzz host-vmm/fuzz; do
        check "cargo-deny-$fuzz" cargo deny --log-level error --config deny.toml --manifest-path "$fuzz/Cargo.toml" \
            check bans licenses sources
    done
    # The advisories come over the network, from outside the package registries.
    if cargo deny --log-level off fetch db >/dev/null 2>&1; then
        check cargo-deny-advisories cargo deny --log-level error check --disable-fetch advisories
    else
        skip cargo-deny-advisories "the advisory database cannot be reached from here"
    fi
else
    skip cargo-deny "not installed (make lint-full)"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
