#!/usr/bin/env bash
# Prints the revision of the sources: the first twelve digits of the commit, with "+changes" behind it
# where files differ from it. Sources without a repository have none, and that is what it says.
#
# usage: tools/revision.sh
#
#   CLOISTER_REVISION   print this instead: for builds of copies whose origin is known otherwise
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${CLOISTER_REVISION-}" ]; then
    # It becomes part of a line on the console, of an image and of file names.
    if ! [[ $CLOISTER_REVISION =~ ^[0-9A-Za-z.+_-]{1,64}$ ]]; then
        echo "revision: CLOISTER_REVISION may have up to 64 letters, digits and . + _ -" >&2
        exit 2
    fi
    printf '%s\n' "$CLOISTER_REVISION"
    exit
fi
# A repository that has this folder somewhere inside is another's.
if [ "$(git rev-parse --show-prefix 2>/dev/null || echo none)" != "" ] ||
    ! commit=$(git rev-parse --verify --short=12 HEAD 2>/dev/null); then
    echo unknown
    exit
fi
changes=
git diff --quiet HEAD -- || changes=+changes
printf '%s%s\n' "$commit" "$changes"
