#!/usr/bin/env bash
# Runs the tests of the test host on Arm's FVP Base RevC model, and reports like `emulator test` on QEMU.
#
# usage: fvp-scripts/test.sh OPTION_OF_RUN... [-- OPTION_OF_EMULATOR_TEST...]
#
# The first options are those of run.sh (--firmware FOLDER, --model PROGRAM, --cpus N, …); the second those of
# `emulator test` (--only, --skip, --json, --record, --time-scale, …; --help says more).
#
# Exit codes: 0 every test passed; 1 one failed; 2 wrong use, or something is missing.
#
#   EMULATOR   use this program (target/debug/emulator)
#
# example: fvp-scripts/test.sh --firmware ~/tf-a/build/fvp/release --cpus 4 -- --only 'granule/*'
set -euo pipefail

SCRIPTS=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$SCRIPTS")
# shellcheck source=fvp-scripts/common.sh
. "$SCRIPTS/common.sh"

if [ "${1-}" = --help ] || [ "${1-}" = -h ]; then
    sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"
    exit 0
fi
emulator=${EMULATOR:-$ROOT/target/debug/emulator}
need_program "$emulator" "'make emulator' builds it"

board=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    [[ $1 != --dry-run && $1 != --terminals && $1 != --payload && $1 != --bootargs ]] ||
        fail "$1 is for run.sh"
    board+=("--board-argument=$1")
    shift
done
[ $# -eq 0 ] || shift
# What can be wrong before a start is said once, and not by every start again.
"$SCRIPTS/run.sh" "${board[@]#--board-argument=}" --dry-run >/dev/null || exit 2
# The model is slower than QEMU.
patience=(--time-scale 10 --boot-limit 600)
for option in "$@"; do
    case "$option" in
    --time-scale* | --boot-limit*) patience=() ;;
    esac
done
exec "$emulator" test --label fvp "${patience[@]}" --board "$SCRIPTS/run.sh" "${board[@]}" "$@"
