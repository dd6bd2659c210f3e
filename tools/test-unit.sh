#!/usr/bin/env bash
# Tries the Debian packages on a host with systemd: a small Debian for arm64 is made of unpacked packages, `make deb`'s
# are installed in it, the machine boots it above EL3 and RMM, and tests/linux/unit-report starts and ends a Realm as a
# service. Ten minutes on a busy machine, three on an idle one. The last line says how many checks passed.
#
# usage: tools/test-unit.sh DEB_FOLDER MODULE HOST_FOLDER GUEST_FOLDER EMULATOR
#
# MODULE is realm.ko for the kernel of HOST_FOLDER (Image); GUEST_FOLDER has Image and initrd of the guest.
set -euo pipefail
cd "$(dirname "$0")/.."

usage='usage: tools/test-unit.sh DEB_FOLDER MODULE HOST_FOLDER GUEST_FOLDER EMULATOR'
debs=${1:?$usage}
module=${2:?$usage}
host=${3:?$usage}
guest=${4:?$usage}
emulator=${5:?$usage}
SETUP="${CLOISTER_SETUP:-$PWD/target/setup}"

# In seconds; busy machines are slow.
LIMIT=$((900 * ${CLOISTER_TIME_SCALE:-1}))

[ "$(id -u)" -eq 0 ] || {
    echo "test-unit: only root can make a system for others to boot" >&2
    exit 2
}
work=$PWD/target/unit
root=$work/root
log=target/test-logs/unit.log
rm -rf "$work"
mkdir -p "$work/image" target/test-logs
cp -a "$SETUP/systemd" "$root"

echo "test-unit: putting the host together"
mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers}
: >"$root/var/lib/dpkg/status"
systemd-sysusers --root="$root" >"$log" 2>&1 || {
    cat "$log" >&2
    exit 1
}
for package in cloister-host-vmm cloister-realm-dkms; do
    dpkg --root="$root" --log=/dev/null --force-architecture --force-depends --force-script-chrootless \
        --install "$debs/$package"_*_arm64.deb >"$log" 2>&1 || {
        cat "$log"
        exit 1
    }
done

# What DKMS does at last; that it builds the module is another test.
release=$(readelf --string-dump=.modinfo "$module" | sed -n 's/.*vermagic=\([^ ]*\) .*/\1/p')
install -D -m 644 "$module" "$root/lib/modules/$release/updates/dkms/realm.ko"
for file in modules.builtin modules.builtin.modinfo modules.order; do
    : >"$root/lib/modules/$release/$file"
done
depmod -b "$root" "$release"

# A machine.
state=$root/var/lib/host-vmm
install -D -m 644 "$guest/Image" "$state/vmlinuz"
install -m 644 "$guest/initrd" "$state/initrd.img"
truncate --size 4M "$state/root.img"
user=$(sed -n 's/^host-vmm:[^:]*:\([0-9]*:[0-9]*\):.*/\1/p' "$root/etc/passwd")
chown -R "$user" "$state"
cat >"$root/etc/host-vmm/web.toml" <<'END'
kernel = "/var/lib/host-vmm/vmlinuz"
initrd = "/var/lib/host-vmm/initrd.img"
cmdline = "console=hvc0 cloister.console=hvc0 quiet cryptomgr.notests swiotlb=2048 cloister.then=idle"
memory = "192M"
serial = "none"
on-reset = "exit"
[realm]
personalization-value = "my-tenant"
[[console]]
to = "file=/var/lib/host-vmm/web.log"
[[block]]
path = "/var/lib/host-vmm/root.img"
END
chown "0:${user#*:}" "$root/etc/host-vmm/web.toml"
chmod 640 "$root/etc/host-vmm/web.toml"

# The system: nothing that waits for a terminal or a network, and the report when it is up.
units=$root/etc/systemd/system
install -D -m 755 tests/linux/unit-report "$root/usr/sbin/unit-report"
mkdir -p "$units/multi-user.target.wants" "$root/etc/systemd/system.conf.d"
printf '[Manager]\nShowStatus=no\nLogLevel=warning\n' >"$root/etc/systemd/system.conf.d/quiet.conf"
printf '[Unit]\nAfter=systemd-modules-load.service systemd-udev-trigger.service\n[Service]\nExecStart=/usr/sbin/unit-report\n' \
    >"$units/unit-report.service"
ln -s ../unit-report.service "$units/multi-user.target.wants/unit-report.service"
ln -s /lib/systemd/system/multi-user.target "$units/default.target"
for unit in getty-static.service serial-getty@ttyAMA0.service systemd-networkd.service systemd-resolved.service \
    systemd-timesyncd.service; do
    ln -sf /dev/null "$units/$unit"
done
echo host >"$root/etc/hostname"
: >"$root/etc/machine-id"
: >"$root/etc/fstab"
ln -s lib/systemd/systemd "$root/init"
(cd "$root" && find . -xdev | LC_ALL=C sort | cpio --quiet -o -H newc) >"$work/image/initrd"
cp "$host/Image" "$work/image/Image"

echo "test-unit: booting it; $log has all that it says"
timeout "$LIMIT" "$emulator" run --interactive --smp 2 --memory 3G --host "$work/image" </dev/null >"$log" 2>&1 &
emulator_process=$!
tail --pid="$emulator_process" -n +1 -F "$log" 2>/dev/null | sed -u -n 's/\r$//; s/^unit: \([a-zA-Z]\)/  \1/p' || true
wait "$emulator_process" || true
summary=$(tr -d '\r' <"$log" | sed -n 's/^unit: \([0-9]* passed, [0-9]* failed\)$/\1/p' | tail -n 1)
if [ -z "$summary" ]; then
    echo "test-unit: the host has not come to its end within $LIMIT s; the last lines of $log:" >&2
    tail -n 15 "$log" >&2
    summary='0 passed, 1 failed'
fi
rm -rf "$work"
echo "$summary"
[[ $summary == *' 0 failed' ]]
