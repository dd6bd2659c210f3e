# shellcheck shell=bash
# What the set-up tells people.

STEP=0
STEPS=0

# Starts a step: its number, and what it is about.
step() {
    STEP=$((STEP + 1))
    STEP_NAME=$1
    printf '[%d/%d] %s\n' "$STEP" "$STEPS" "$1"
}

# More about the step that runs.
say() {
    printf '      %s\n' "$1"
}

# One line that says what is wrong and what to do, and the end.
fail() {
    printf 'setup: %s%s\n' "${STEP_NAME:+$STEP_NAME: }" "$1" >&2
    exit 1
}

# Runs a command with its output in a log; shows the end of the log when it fails.
# quietly LOG COMMAND...
quietly() {
    local log="$SETUP/logs/$1.log"
    shift
    mkdir -p "$SETUP/logs"
    if ! "$@" >"$log" 2>&1; then
        tail -n 5 "$log" | sed 's/^/      | /' >&2
        say "the whole output is in $log" >&2
        return 1
    fi
}
