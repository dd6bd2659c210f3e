//! A Realm with 24 devices, of every kind that there is. Through network and sockets, content goes
//! both ways and is checked by its sum.

use super::Host;
use super::checks::{expect_guest, expect_line, expected_disk, gives_back};
use super::guest::Guest;
use crate::systems::{self, HOST_DISK, HOST_INITRD, HOST_KERNEL, HOST_TUN};

/// What is sent each way.
const CONTENT: &str = "/tmp/content";
/// How much of the disk that is: the guest reads so much of its own.
const CONTENT_BLOCKS: usize = 128;
/// The machine's settings.
const SETTINGS: &str = "/tmp/devices.toml";
/// Disks beside the first one.
const MORE_DISKS: u32 = 19;

/// What runs on the host meanwhile. Whoever only receives has an input that does not end.
const PEERS: [&str; 5] = [
    "nc -l -p 7000 <>/tmp/open >/tmp/by-net",
    "nc -l -p 7001 </tmp/content >/dev/null",
    "stream-end unix-listen:/tmp/vsock_7000 </dev/null >/tmp/by-vsock",
    "stream-end unix-listen:/tmp/vsock_7001 </tmp/content >/dev/null",
    // Until the guest listens, or is gone.
    "until stream-end guest:7002:/tmp/vsock </tmp/content >/dev/null 2>&1; \
     do [ -e /tmp/content ] || break; usleep 300000; done",
];
/// What must have the content then.
const RECEIVED: [&str; 2] = ["/tmp/by-net", "/tmp/by-vsock"];

pub(super) fn devices_of_all_kinds(host: &mut Host<'_>) -> Result<(), String> {
    host.command(&format!(
        "insmod {HOST_TUN} && mkfifo /tmp/open && tunctl -t tap0 && ifconfig tap0 10.7.0.1 netmask 255.255.255.0 up"
    ))?;
    host.command(&format!(
        "dd if={HOST_DISK} of={CONTENT} bs=8k count={CONTENT_BLOCKS} 2>/dev/null"
    ))?;
    write_settings(host)?;
    gives_back(host, |host| {
        for peer in PEERS {
            host.command(&format!("{{ ({peer}) & }}"))?;
        }
        let ended = host.guests(&format!("host-vmm run --config {SETTINGS}"));
        // Whoever waits for a guest that is gone ends.
        host.command(&format!(
            "mv {CONTENT} {CONTENT}.sent; killall nc stream-end; wait"
        ))
        .ok();
        let lines = ended?.success()?;
        expect_guest(&lines, 2, true)?;
        let sum = systems::checksum_of_disk(CONTENT_BLOCKS * 8192);
        expect_line(&lines, "guest: 24 devices")?;
        expect_line(&lines, "guest: random numbers of virtio_rng.0: 1024")?;
        for way in ["net", "vsock", "vsock of the host"] {
            expect_line(&lines, &format!("guest: by {way} {sum}"))?;
        }
        for file in RECEIVED {
            let lines = host.command(&format!("sha256sum {file}"))?;
            if !lines.iter().any(|line| line.starts_with(&sum)) {
                return Err(format!("{file} is not what the guest sent: {lines:?}"));
            }
        }
        host.command("rm /tmp/by-* /tmp/vsock_* /tmp/content* /tmp/open")
            .map(drop)
    })?;
    host.command("tunctl -d tap0 && rmmod tun").map(drop)
}

fn write_settings(host: &mut Host<'_>) -> Result<(), String> {
    let guest = Guest::realm(2, &[&expected_disk(), "cloister.devices"]);
    let words = guest.kernel_command_line();
    for line in [
        format!("firmware = '{HOST_KERNEL}'\ninitrd = '{HOST_INITRD}'\nmemory = '256M'\ncpus = 2"),
        format!("cmdline = '{words}'\n[realm]\n[[console]]\nto = 'terminal'"),
    ] {
        let quoted = line.replace('\'', "\"").replace('\n', "\\n");
        host.command(&format!("printf '{quoted}\\n' >>{SETTINGS}"))?;
    }
    host.command(&format!(
        "for n in $(seq 0 {MORE_DISKS}); do \
         printf '[[block]]\\npath = \"{HOST_DISK}\"\\nread-only = true\\n'; done >>{SETTINGS}"
    ))?;
    host.command(&format!(
        "printf '[[net]]\\ntap = \"tap0\"\\n[[vsock]]\\ncid = 3\\nsocket = \"/tmp/vsock\"\\n[rng]\\n' >>{SETTINGS}"
    ))
    .map(drop)
}
