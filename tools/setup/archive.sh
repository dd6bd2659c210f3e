# shellcheck shell=bash
# Debian's archive through package lists of our own under target/setup: nothing in /etc/apt and
# nothing of apt's state on the machine changes. Signatures are checked as always.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The archives of Debian 12 that this machine itself is configured for, as "URI SUITE" lines.
configured_archives() {
    # The fields are apt's, not the shell's.
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$3 == "main" { print $1, $2 }' | sort -u
}

# The URI of the main archive.
archive_uri() {
    local suite uri
    for suite in bookworm oldstable stable; do
        uri=$(configured_archives | awk -v suite="$suite" '$2 == suite { print $1; exit }')
        if [ -n "$uri" ]; then
            printf '%s\n' "$uri"
            return
        fi
    done
    return 1
}

need_archive() {
    command -v apt-get >/dev/null || fail "needs apt (Debian 12); see tools/versions.sh for what to install by hand on other systems"
    [ -r "$KEYRING" ] || fail "no $KEYRING: install the package debian-archive-keyring"
    ARCHIVE=$(archive_uri) || fail "no Debian 12 archive in this machine's apt configuration: add the suite bookworm (component main)"
}

# Starts a folder with apt's settings for one set of lists: new_lists NAME
new_lists() {
    LISTS="$SETUP/apt/$1"
    mkdir -p "$LISTS/lists/partial" "$LISTS/cache/archives/partial"
    : >"$LISTS/preferences"
    cat >"$LISTS/apt.conf" <<END
Dir::Etc::SourceList "$LISTS/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "$LISTS/preferences";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$LISTS/lists";
Dir::Cache "$LISTS/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
// The checkout may lie where apt's own user cannot write.
APT::Sandbox::User "root";
END
    APT_OPTIONS=(-c "$LISTS/apt.conf")
}

# Lists for packages that are installed on this machine: its own suites and the backports.
use_system_lists() {
    need_archive
    new_lists system
    {
        configured_archives | while read -r uri suite; do
            printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$uri" "$suite"
        done
        printf 'deb [signed-by=%s] %s bookworm-backports main\n' "$KEYRING" "$ARCHIVE"
    } | grep -E ' (bookworm|oldstable|stable)([-/][a-z/-]+)? main$' >"$LISTS/sources.list"
    # From the backports come the parts of QEMU and nothing else.
    printf '%s\n' 'Package: src:qemu' 'Pin: release n=bookworm-backports' 'Pin-Priority: 990' \
        >"$LISTS/preferences"
    fetch_lists system
}

# Lists for arm64 packages that are only unpacked.
use_arm64_lists() {
    need_archive
    new_lists arm64
    : >"$LISTS/status"
    cat >>"$LISTS/apt.conf" <<END
Dir::State "$LISTS";
Dir::State::Lists "$LISTS/lists";
Dir::State::status "$LISTS/status";
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
END
    printf 'deb [arch=arm64 signed-by=%s] %s %s main\n' \
        "$KEYRING" "$ARCHIVE" bookworm \
        "$KEYRING" "$ARCHIVE" trixie-backports >"$LISTS/sources.list"
    fetch_lists arm64
}

# Fetches the lists once per run of the set-up.
fetch_lists() {
    case " ${FETCHED_LISTS-} " in *" $1 "*) return ;; esac
    say "reading the package lists"
    quietly "lists-$1" apt-get "${APT_OPTIONS[@]}" update ||
        fail "cannot read Debian's package lists: check the network and this machine's apt configuration"
    FETCHED_LISTS="${FETCHED_LISTS-} $1"
}

# All versions of a package in the lists, newest first.
available_versions() {
    apt-cache "${APT_OPTIONS[@]}" madison "$1" 2>/dev/null | awk '{ print $3 }' | sort -u |
        sort -rV
}

# The version to take: the pinned one, or the newest that starts with a prefix. Says so when the
# pinned one is gone. choose_version PACKAGE PINNED PREFIX
choose_version() {
    local versions
    versions=$(available_versions "$1")
    if grep -qxF -- "$2" <<<"$versions"; then
        printf '%s\n' "$2"
        return
    fi
    local newest
    newest=$(awk -v prefix="$3" 'index($0, prefix) == 1 { print; exit }' <<<"$versions")
    [ -n "$newest" ] || return 1
    say "$1 $2 is no longer in the archive, taking $newest" >&2
    printf '%s\n' "$newest"
}

# Downloads a package into a folder and prints its file name. The archive's signature vouches for
# it; pinned versions are also held against the checksums in this repository.
# download FOLDER PACKAGE[:ARCHITECTURE] VERSION
download() {
    local name="${2%:*}" architecture=
    case "$2" in
    *:*) architecture=${2#*:} ;;
    esac
    mkdir -p "$1"
    (cd "$1" && quietly "download-$name" apt-get "${APT_OPTIONS[@]}" download "$2=$3") ||
        fail "cannot download $name $3: check the network"
    # apt writes the colon of an epoch as %3a.
    local start="${name}_${3//:/%3a}_$architecture" file
    file="$1/$(cd "$1" && ls -1 -- "$start"*.deb)"
    local recorded
    recorded=$(awk -v start="$start" 'index($2, start) == 1 { print $1 }' "$TOOLS/checksums.sha256")
    if [ -z "$recorded" ]; then
        say "no checksum of $name $3 is recorded here, trusting the archive's signature" >&2
    elif ! sha256sum --quiet --check - <<<"$recorded  $file" >/dev/null 2>&1; then
        rm -f "$file"
        fail "$name $3 does not have the recorded checksum: not used"
    fi
    printf '%s\n' "$file"
}
