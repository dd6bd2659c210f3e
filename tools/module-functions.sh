# shellcheck shell=bash
# Building kernel modules with unpacked headers; sourced by tools/build-module.sh and
# tools/build-guest-module.sh.

HEADERS="${CLOISTER_SETUP:-$PWD/target/setup}/headers"

fail() {
    echo "module: $1" >&2
    exit 1
}

# run LOG COMMAND...: the output is of interest when the command fails, and then errors come first.
run() {
    local log=$1
    shift
    if ! "$@" >"$log" 2>&1; then
        { grep -E '(error|undefined|multiple definition)' "$log" || tail -n 15 "$log"; } | head -n 40 >&2
        fail "the whole output is in $log"
    fi
    if grep -q 'warning: ' <(sed '/pahole version differs/d; /compiler differs/d' "$log"); then
        grep 'warning: ' "$log" | sed '/pahole version differs/d; /compiler differs/d' >&2
    fi
}

# replace_if_changed NEW FILE: keeps the old file's time when the content is the same.
replace_if_changed() {
    if cmp -s "$1" "$2"; then
        rm "$1"
    else
        mv "$1" "$2"
    fi
}

# need_headers RELEASE...
need_headers() {
    local release
    [ -r "$HEADERS/releases" ] || fail "no kernel headers: run 'make setup' first"
    for release in "$@"; do
        grep -qxF -- "$release" "$HEADERS/releases" ||
            fail "no headers of kernel $release; there are: $(paste -sd ' ' "$HEADERS/releases")"
    done
}

# build_module RELEASE FOLDER NAME LOG OUTPUT: makes NAME.ko of what is in a folder.
build_module() {
    local release=$1 name=$3 log=$4 output=$5 absolute base="$HEADERS/usr/src/linux-headers" options=()
    absolute=$(readlink -f "$2")
    # Compilers before gcc 14 align all but cold functions, by another option.
    "${CROSS_COMPILE}gcc" -fmin-function-alignment=8 -E -x c /dev/null >/dev/null 2>&1 ||
        options+=(CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=)
    # Flags in the environment are for other programs, and those of an outer make are not for this one.
    run "$log" env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CFLAGS -u LDFLAGS \
        make -C "$base-${release%%-*}-common" O="$base-$release" M="$absolute" ARCH=arm64 \
        CROSS_COMPILE="$CROSS_COMPILE" CC="${CROSS_COMPILE}gcc" \
        KCFLAGS="-Werror -ffile-prefix-map=$absolute=$name -ffile-prefix-map=$HEADERS/usr/src=." \
        "${options[@]}" --jobs="$(nproc)" modules
    "${CROSS_COMPILE}strip" --strip-debug -o "$output.new" "$absolute/$name.ko"
    replace_if_changed "$output.new" "$output"
}
