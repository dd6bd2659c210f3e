#!/usr/bin/env bash
# Runs parts of the tests and adds them up.
#
# usage: tools/test.sh all | PART...
#
# Parts: host lint probe boot-matrix ns-host-1-cpu ns-host-2-cpus ns-host-4-cpus ns-host-8-gib
#        ns-host-64-gib stress parked evidence linux realm-linux fvp deb reproducible; `qemu` stands for
#        those from probe to evidence and `gigabyte`. Long, and not in `all`: kernels load
#        boot-matrix-all ns-host-64-cpus gigabyte.
set -euo pipefail
cd "$(dirname "$0")/.."

qemu_parts=(probe boot-matrix ns-host-1-cpu ns-host-2-cpus ns-host-4-cpus ns-host-8-gib ns-host-64-gib stress
    parked evidence)
results=target/test-results
logs=target/test-logs
build=${CARGO_TARGET_DIR:-target}
emulator="$build/debug/emulator"
image_tool="$build/debug/image-tool"
locked=()
[ -z "${CI-}" ] || locked=(--locked)
host_packages=(--workspace --exclude rmm-image --exclude el3-probe --exclude realm-kmod)

# record NAME PASSED FAILED SKIPPED SECONDS: what `emulator summary` reads.
record() {
    local number
    for number in "${@:2}"; do
        [[ "$number" =~ ^[0-9]+$ ]] || { echo "  FAILED: $1 did not come to its end"; return 1; }
    done
    printf '{"run": "%s", "passed": %d, "failed": %d, "skipped": %d, "seconds": %d}\n' "$@" \
        >"$results/$1.json.new"
    mv "$results/$1.json.new" "$results/$1.json"
}

# Reads a log with lines of the form `WORDS: ok. N passed; M failed; K ignored` and the like, and
# prints the sums.
add_up_cargo() {
    awk '/^test result: / { for (i = 2; i <= NF; i++) {
             if ($i ~ /^passed/) p += $(i - 1)
             if ($i ~ /^failed/) f += $(i - 1)
             if ($i ~ /^ignored/) s += $(i - 1) } }
         END { print p + 0, f + 0, s + 0 }' "$1"
}

part_host() {
    local passed failed skipped status=0
    cargo test "${locked[@]}" "${host_packages[@]}" --no-fail-fast >"$logs/host.log" 2>&1 || status=$?
    read -r passed failed skipped < <(add_up_cargo "$logs/host.log")
    if [ "$status" -ne 0 ]; then
        grep -E '^(test .* FAILED|error)|panicked at' "$logs/host.log" | sort -u | head -n 40 || true
        echo "  the whole output is in $logs/host.log"
        # A test program that does not compile has no results to count.
        [ "$failed" -gt 0 ] || failed=1
    fi
    echo "  $passed passed, $failed failed, $skipped skipped"
    record host "$passed" "$failed" "$skipped" "$SECONDS"
}

part_lint() {
    local passed failed skipped
    tools/lint.sh --code | tee "$logs/lint.log" || true
    read -r passed _ failed _ skipped _ < <(tail -n 1 "$logs/lint.log" | tr -d ,)
    record lint "$passed" "$failed" "$skipped" "$SECONDS"
}

part_probe() {
    qemu_test probe --speaker el3-probe --rmm target/payloads/el3-probe.img --smp 2 --memory 1G
}

# The RMM boots from manifests and registers of all kinds, or says what is wrong with them: with the
# oldest and the newest manifest here, with all of them in the long part.
boot_matrix() {
    local label=$1
    shift
    "$emulator" boot-matrix --memory 1G --label "$label" --record "$results/$label.json" "$@" || true
}
part_boot-matrix() {
    boot_matrix boot-matrix --only 'manifest-0.1/*,manifest-0.5/*,version/*,cpus/*,console/*,memory/*' \
        --only 'registers/*,dram/*,page/*'
}
part_boot-matrix-all() { boot_matrix boot-matrix-all; }

every_cpu=version/every-cpu,features/every-cpu,boot/tracked-memory,isolation/every-cpu
every_cpu+=,psci/all-cpus-start,stress/every-cpu-its-own-granule,statistics/described
every_cpu+=,statistics/boots,statistics/another-boot,statistics/commands-on-every-cpu

not_for_more_memory=()
for family in evidence exit rsi rec realm-psci realm-cpu canary running hostile statistics stress; do
    not_for_more_memory+=(--skip "$family/*")
done

part_ns-host-1-cpu() { qemu_test ns-host-1-cpu --smp 1 --memory 1G; }
part_ns-host-2-cpus() { qemu_test ns-host-2-cpus --smp 2 --memory 1G; }
# Not part of `all`: CPUs that take turns on one core take minutes.
part_ns-host-64-cpus() {
    qemu_test ns-host-64-cpus --smp 64 --memory 2G --time-scale 20 --only "$every_cpu"
}
# What more CPUs than two can change: those that work on the same things at once.
part_ns-host-4-cpus() {
    qemu_test ns-host-4-cpus --smp 4 --memory 1G \
        --only 'boot/*,version/*,features/*,psci/*,granule/*,isolation/*,canary/*,statistics/*,stress/*' \
        --only 'registers/*,hostile/*,rsi/extend-at-once' \
        --only 'rec-enter/by-turns,running/eight-recs,running/tokens-at-once,running/from-cpu-to-cpu'
}
# Minutes long, for a quarter of a million calls to make one entry of a table.
gigabyte=rtt/fold-to-a-gigabyte-of-memory
part_gigabyte() { qemu_test gigabyte --smp 2 --memory 8G --only "$gigabyte"; }
# What has to do with the size of memory, and that Realms run there too (rec-enter).
part_ns-host-8-gib() {
    qemu_test ns-host-8-gib --smp 2 --memory 8G "${not_for_more_memory[@]}" --skip "$gigabyte"
}
part_stress() {
    qemu_test stress --smp 4 --memory 1G --only stress/four-cpus --calls 250000
}
part_ns-host-64-gib() {
    qemu_test ns-host-64-gib --smp 2 --memory 64G "${not_for_more_memory[@]}" --skip "$gigabyte"
}
# The RMM gives up, because EL3 lets it down.
part_parked() { qemu_test parked --smp 4 --memory 1G --fault refuse-undelegate; }

# Evidence of a Realm, good and bad, judged by the program that its owner uses.
part_evidence() {
    "$emulator" evidence --smp 2 --memory 1G --label evidence --record "$results/evidence.json" ||
        true
}

# qemu_test NAME ARGUMENTS...
qemu_test() {
    "$emulator" test --label "$1" --record "$results/$1.json" "${@:2}" || true
}

part_linux() {
    "$emulator" linux --smp 2 --memory 2G --label linux --record "$results/linux.json" || true
}

# Debian kernels as Realms on a Debian kernel.
part_realm-linux() {
    "$emulator" realms --smp 2 --memory 3G --label realm-linux --record "$results/realm-linux.json" ||
        true
}

# Their network and disk under load, as Realms and as ordinary machines.
part_load() {
    "$emulator" load --smp 2 --memory 3G --label load --record "$results/load.json" || true
}

# Kernels as hosts: those of KERNELS='RELEASE ...', or all that the module is built for but for the small
# flavours, one of which is the host of the other parts.
kernel_releases() {
    if [ -n "${KERNELS-}" ]; then
        tr ' ' '\n' <<<"$KERNELS"
    else
        # shellcheck source=tools/versions.sh
        (. tools/versions.sh && printf '%s\n' "${MODULE_KERNELS[@]% *}") | grep -v cloud
    fi
}

part_kernels() {
    local releases
    mapfile -t releases < <(kernel_releases)
    "$emulator" kernels --smp 2 --memory 2G --label kernels --record "$results/kernels.json" \
        "${releases[@]}" || true
}

# The scripts for Arm's model, with a stand-in for it.
part_fvp() {
    local passed failed skipped
    IMAGE_TOOL="$image_tool" EMULATOR="$emulator" fvp-scripts/tests/test.sh | tee "$logs/fvp.log" | grep -v '^  ok ' || true
    read -r passed _ failed _ skipped _ < <(tail -n 1 "$logs/fvp.log" | tr -d ,)
    record fvp "$passed" "$failed" "$skipped" "$SECONDS"
}

# Debian packages. DKMS builds the module for the small flavour of each kernel; the part `kernels` has the others.
part_deb() {
    local passed failed skipped releases
    mapfile -t releases < <(grep cloud target/setup/headers/releases || cat target/setup/headers/releases)
    tools/test-deb.sh target/linux target/module target/documents target/deb "${releases[@]}" | tee "$logs/deb.log" || true
    read -r passed _ failed _ skipped _ < <(tail -n 1 "$logs/deb.log" | tr -d ,)
    record deb "$passed" "$failed" "$skipped" "$SECONDS"
}

# Builds the image and its archive in two copies of the checkout, in folders whose names differ in
# length, and compares; then the sizes with their budget.
part_reproducible() {
    local folder file revision ok=0 failed=0
    local copies=(target/reproducible/a target/reproducible/b/in-another-folder)
    rm -rf target/reproducible
    revision=$(tools/revision.sh)
    for folder in "${copies[@]}"; do
        mkdir -p "$folder"
        tar -cf - --exclude=./target --exclude=./.git . | tar -xf - -C "$folder"
        # The copies have no repository.
        if ! CLOISTER_SETUP="$PWD/target/setup" IMAGE_TOOL="$(realpath "$image_tool")" \
            CLOISTER_REVISION=$revision build_copy "$folder"; then
            record reproducible 0 1 0 "$SECONDS"
            return
        fi
    done
    while read -r file; do
        if cmp "$file" "${copies[1]}/target/${file#"${copies[0]}"/target/}"; then
            echo "  ok     $(basename "$file") is the same from both folders"
            ok=$((ok + 1))
        else
            echo "  FAILED $(basename "$file") differs; both are kept in target/reproducible"
            failed=$((failed + 1))
        fi
    done < <(find "${copies[0]}"/target/{image,dist} -type f | sort)
    if grep -qaF "revision $revision" "${copies[0]}/target/image/rmm.img"; then
        echo "  ok     rmm.img says that it is revision $revision"
        ok=$((ok + 1))
    else
        echo "  FAILED rmm.img does not say that it is revision $revision"
        failed=$((failed + 1))
    fi
    if "$image_tool" size "${copies[0]}/target/image/rmm.elf" --budget rmm/image/size-budget.toml; then
        echo "  ok     the image keeps to its budget"
        ok=$((ok + 1))
    else
        echo "  FAILED the image exceeds rmm/image/size-budget.toml"
        failed=$((failed + 1))
    fi
    record reproducible "$ok" "$failed" 0 "$SECONDS"
    if [ "$failed" -eq 0 ]; then
        rm -rf target/reproducible
    fi
}

# build_copy FOLDER: image and archive in a copy of the checkout.
build_copy() {
    local target
    target="$(realpath "$1")/target"
    "$1/tools/build-image.sh" "$target" target/image &&
        "$1/tools/build-dist.sh" "$target" target/image target/dist >/dev/null
}

parts=()
for part in "$@"; do
    case "$part" in
    all) parts+=(host lint "${qemu_parts[@]}" linux realm-linux fvp deb reproducible) ;;
    qemu) parts+=("${qemu_parts[@]}" gigabyte) ;;
    host | lint | probe | boot-matrix* | ns-host-* | stress | parked | evidence | gigabyte | linux | realm-linux | kernels | load | fvp | deb | reproducible)
        declare -F "part_$part" >/dev/null || { echo "test: no part '$part' (see the top of tools/test.sh)" >&2; exit 2; }
        parts+=("$part")
        ;;
    *)
        echo "test: no part '$part' (see the top of tools/test.sh)" >&2
        exit 2
        ;;
    esac
done
[ "${#parts[@]}" -gt 0 ] || { echo "usage: tools/test.sh all | PART..." >&2; exit 2; }

mkdir -p "$results" "$logs"
# A part that does not come to its end must not live on an old result.
for part in "${parts[@]}"; do
    rm -f "$results/$part.json"
done

echo "== build =="
built=yes
case " ${parts[*]} " in
*" host "*) export WITH_TESTS=1 ;;
esac
# A test that does not compile fails alone.
make emulator || {
    unset WITH_TESTS
    make emulator
}
case " ${parts[*]} " in
*" probe "* | *" boot-matrix"* | *" ns-host-"* | *" stress "* | *" parked "* | *" evidence "* | *" gigabyte "* | *" linux "* | *" realm-linux "* | *" kernels "* | *" load "* | *" fvp "*) make payloads || built= ;;
esac
case " ${parts[*]} " in
*" realm-linux "*) make host-image || built= ;;
esac
case " ${parts[*]} " in
*" load "*) make load-image || built= ;;
esac
case " ${parts[*]} " in
*" kernels "*) make guest-image module KERNELS="$(kernel_releases | paste -sd ' ')" &&
    tools/setup.sh --with-kernels || built= ;;
esac
case " ${parts[*]} " in
*" deb "*) make deb >/dev/null || built= ;;
esac
number=0
for part in "${parts[@]}"; do
    number=$((number + 1))
    echo "== $number/${#parts[@]} $part =="
    SECONDS=0
    case "$part" in
    probe | boot-matrix* | ns-host-* | stress | parked | evidence | linux | realm-linux | kernels | load | fvp | deb)
        # What an earlier build left must not be tested in the place of one that failed.
        if [ -z "$built" ]; then
            echo "  FAILED: the images or packages could not be built"
            continue
        fi
        ;;
    esac
    "part_$part" || true
done
echo "== summary =="
exec "$emulator" summary --records "$results" "${parts[@]}"
