//! The Linux systems of host and guest: kernel and initial RAM disk of each, made of Debian's
//! packages and of what is built here.

mod load;

use std::io;
use std::path::{Path, PathBuf};

use attestation_token::HashAlgorithm;
use attestation_token::crypto::hash;

use crate::atomic::{self, FileError};
use crate::hosting::SOAK_PROGRAM;
use crate::initramfs::Archive;
use crate::libraries::LibrariesError;
use crate::modules::{self, ModulesError};
pub(crate) use load::{HOST_LOAD, LoadParts};

/// What the guest loads: its transport of devices, its disk, evidence.
const GUEST_MODULES: &[&str] = &["virtio_mmio", "virtio_blk", "arm-cca-guest"];
/// What it loads if it has these devices.
const MORE_MODULES: &[&str] = &["virtio_net", "virtio-rng", "vmw_vsock_virtio_transport"];
/// What it loads if it is told that memory moves: as a Realm, and as an ordinary machine.
const REALM_MEMORY_MODULE: &str = "realm_memory";
const MEMORY_MODULES: &[&str] = &["virtio_balloon"];
/// Bytes of the disk that the host has for guests.
const DISK_BYTES: usize = 4 << 20;

/// Where things are on the host.
pub(crate) const HOST_MODULE: &str = "/lib/realm.ko";
pub(crate) const HOST_TUN: &str = "/lib/tun.ko";
pub(crate) const HOST_KERNEL: &str = "/guest/Image";
pub(crate) const HOST_INITRD: &str = "/guest/initrd";
pub(crate) const HOST_DISK: &str = "/guest/disk.img";
/// Guests as small as can be.
const HOST_SMALL_GUESTS: [(&str, &[u32]); 2] = [
    ("/guest/power-off", &SWITCHES_ITSELF_OFF),
    ("/guest/wait", &WAITS),
];

/// `PSCI_SYSTEM_OFF` by SMC (DEN0022, 5.2.2), as a Realm calls it: mov, movk, smc, b to itself.
const SWITCHES_ITSELF_OFF: [u32; 4] = [0x52b0_8000, 0x7280_0100, 0xd400_0003, 0x1400_0000];
/// wfi, and again.
const WAITS: [u32; 2] = [0xd503_207f, 0x17ff_ffff];

/// Why a system cannot be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Modules(#[from] ModulesError),
    #[error(transparent)]
    Libraries(#[from] LibrariesError),
    #[error("cannot build the initial RAM disk: {0}")]
    InitialRamDisk(#[from] io::Error),
}

/// Kernel and initial RAM disk in a folder.
pub(crate) struct System {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

impl System {
    /// The names that they have in a folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            kernel: folder.join("Image"),
            initrd: folder.join("initrd"),
        }
    }
}

/// What the guest is made of.
pub(crate) struct GuestParts<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) busybox: &'a Path,
    pub(crate) init: &'a Path,
    /// Folder of the kernel's modules.
    pub(crate) modules: &'a Path,
    pub(crate) realm_kit: &'a Path,
    /// One end of a stream between host and guest.
    pub(crate) stream_end: &'a Path,
    /// The kernel module by which a Realm gives memory back.
    pub(crate) memory_module: &'a Path,
}

/// Puts the guest together.
pub(crate) fn build_guest(parts: &GuestParts<'_>, folder: &Path) -> Result<(), SystemError> {
    let mut archive = Archive::new(&atomic::read(parts.busybox)?, &atomic::read(parts.init)?)?;
    archive.program("bin/realm-kit", &atomic::read(parts.realm_kit)?)?;
    archive.program("bin/stream-end", &atomic::read(parts.stream_end)?)?;
    archive.folder("modules")?;
    let lists = [
        ("order", GUEST_MODULES),
        ("more", MORE_MODULES),
        ("memory", MEMORY_MODULES),
    ];
    for (list, wanted) in lists {
        let mut order = String::new();
        for module in modules::load_order(parts.modules, wanted)? {
            archive.file(&format!("modules/{}.ko", module.name), &module.content)?;
            order.push_str(&module.name);
            order.push('\n');
        }
        archive.file(&format!("modules/{list}"), order.as_bytes())?;
    }
    archive.file(
        &format!("modules/{REALM_MEMORY_MODULE}.ko"),
        &atomic::read(parts.memory_module)?,
    )?;
    let system = System::in_folder(folder);
    atomic::write(&system.initrd, &archive.finish()?)?;
    atomic::write(&system.kernel, &atomic::read(parts.kernel)?)?;
    Ok(())
}

/// What the host is made of.
pub(crate) struct HostParts<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) busybox: &'a Path,
    pub(crate) init: &'a Path,
    /// The Realm kernel module.
    pub(crate) module: &'a Path,
    /// The kernel's module for tap interfaces, where they are wanted.
    pub(crate) tun: Option<&'a Path>,
    pub(crate) host_vmm: &'a Path,
    /// What uses all that roughly.
    pub(crate) soak: &'a Path,
    pub(crate) hostile_vmm: &'a Path,
    pub(crate) stream_end: &'a Path,
    /// What it loads its guests with, where that is wanted.
    pub(crate) load: Option<LoadParts<'a>>,
    /// What it runs.
    pub(crate) guest: &'a System,
}

/// Puts the host together.
pub(crate) fn build_host(parts: &HostParts<'_>, folder: &Path) -> Result<(), SystemError> {
    let mut archive = Archive::new(&atomic::read(parts.busybox)?, &atomic::read(parts.init)?)?;
    archive.folder("lib")?;
    archive.folder("guest")?;
    let mut file = |path: &str, content: &[u8]| archive.file(path.trim_start_matches('/'), content);
    file(HOST_MODULE, &atomic::read(parts.module)?)?;
    file(HOST_KERNEL, &atomic::read(&parts.guest.kernel)?)?;
    file(HOST_INITRD, &atomic::read(&parts.guest.initrd)?)?;
    file(HOST_DISK, &disk())?;
    for (path, instructions) in HOST_SMALL_GUESTS {
        file(path, &small_guest(instructions))?;
    }
    if let Some(tun) = parts.tun {
        file(HOST_TUN, &atomic::read(tun)?)?;
    }
    archive.program("bin/host-vmm", &atomic::read(parts.host_vmm)?)?;
    archive.program("bin/hostile-vmm", &atomic::read(parts.hostile_vmm)?)?;
    archive.program("bin/stream-end", &atomic::read(parts.stream_end)?)?;
    archive.program(
        SOAK_PROGRAM.trim_start_matches('/'),
        &atomic::read(parts.soak)?,
    )?;
    if let Some(parts) = &parts.load {
        load::add_to_host(&mut archive, parts)?;
    }
    let system = System::in_folder(folder);
    atomic::write(&system.initrd, &archive.finish()?)?;
    atomic::write(&system.kernel, &atomic::read(parts.kernel)?)?;
    Ok(())
}

/// A kernel of these instructions, in the arm64 `Image` format (Documentation/arch/arm64/booting.rst).
fn small_guest(instructions: &[u32]) -> Vec<u8> {
    const HEADER: usize = 64;
    // A branch over the header, in words.
    const BRANCH: u32 = 0x1400_0000 | 16;
    let size = (HEADER + 4 * instructions.len()) as u64;
    let mut image = Vec::new();
    image.extend(BRANCH.to_le_bytes());
    image.extend([0; 4]);
    // Offset of the text, size, flags: little-endian, pages of 4 KiB, anywhere.
    for field in [0, size, 0b1010] {
        image.extend(field.to_le_bytes());
    }
    image.resize(HEADER - 8, 0);
    image.extend(b"ARM\x64");
    image.resize(HEADER, 0);
    for instruction in instructions {
        image.extend(instruction.to_le_bytes());
    }
    image
}

/// The disk that the host has for guests: always the same bytes, no block of which is like another.
pub(crate) fn disk() -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    let mut disk = Vec::with_capacity(DISK_BYTES);
    while disk.len() < DISK_BYTES {
        disk.extend(words.next().unwrap_or_default().to_le_bytes());
    }
    disk
}

/// Its checksum, as `sha256sum` prints it.
pub(crate) fn disk_checksum() -> String {
    checksum_of_disk(DISK_BYTES)
}

/// The checksum of so many bytes at its beginning.
pub(crate) fn checksum_of_disk(bytes: usize) -> String {
    let disk = disk();
    let digest = hash(HashAlgorithm::Sha256, &disk[..bytes.min(disk.len())]);
    digest
        .as_bytes()
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::initramfs::tests::entries;
    use crate::modules::tests::module;

    #[test]
    fn the_guest_has_its_modules_in_the_order_of_loading() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["vmlinuz", "busybox", "init", "realm-kit", "stream-end"] {
            fs::write(path(name), name).unwrap();
        }
        fs::create_dir(path("modules")).unwrap();
        for (name, information) in [
            ("virtio_mmio", "depends=\0"),
            ("virtio_blk", "depends=\0"),
            ("arm-cca-guest", "depends=tsm_report\0"),
            ("tsm_report", "depends=configfs\0"),
            ("configfs", "depends=\0"),
            ("virtio_net", "depends=net_failover\0"),
            ("net_failover", "depends=\0"),
            ("virtio-rng", "depends=\0"),
            ("vmw_vsock_virtio_transport", "depends=vsock\0"),
            ("vsock", "depends=\0"),
            ("virtio_balloon", "depends=\0"),
        ] {
            module(&path("modules"), name, information.as_bytes());
        }
        let parts = GuestParts {
            kernel: &path("vmlinuz"),
            busybox: &path("busybox"),
            init: &path("init"),
            modules: &path("modules"),
            realm_kit: &path("realm-kit"),
            stream_end: &path("stream-end"),
            memory_module: &path("modules/virtio_blk.ko"),
        };
        build_guest(&parts, &path("guest")).unwrap();
        let entries = entries(&fs::read(path("guest/initrd")).unwrap());
        let content = |name: &str| {
            let entry = entries.iter().find(|entry| entry.0 == name);
            String::from_utf8_lossy(&entry.expect(name).3).into_owned()
        };
        assert_eq!(
            content("modules/order"),
            "virtio_mmio\nvirtio_blk\nconfigfs\ntsm_report\narm-cca-guest\n"
        );
        assert_eq!(
            content("modules/more"),
            "net_failover\nvirtio_net\nvirtio-rng\nvsock\nvmw_vsock_virtio_transport\n"
        );
        assert_eq!(content("modules/memory"), "virtio_balloon\n");
        assert!(!content("modules/realm_memory.ko").is_empty());
        for list in ["modules/order", "modules/more", "modules/memory"] {
            for name in content(list).lines() {
                assert!(!content(&format!("modules/{name}.ko")).is_empty());
            }
        }
        assert_eq!(content("bin/stream-end"), "stream-end");
        assert_eq!(content("bin/realm-kit"), "realm-kit");
        assert_eq!(fs::read(path("guest/Image")).unwrap(), b"vmlinuz");
    }

    #[test]
    fn the_host_has_what_it_runs() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let guest = System {
            kernel: path("guest-kernel"),
            initrd: path("guest-initrd"),
        };
        for name in [
            "vmlinuz",
            "busybox",
            "init",
            "module",
            "host-vmm",
            "soak",
            "hostile-vmm",
            "stream-end",
            "tun",
            "guest-kernel",
            "guest-initrd",
        ] {
            fs::write(path(name), name).unwrap();
        }
        let parts = HostParts {
            kernel: &path("vmlinuz"),
            busybox: &path("busybox"),
            init: &path("init"),
            module: &path("module"),
            host_vmm: &path("host-vmm"),
            soak: &path("soak"),
            hostile_vmm: &path("hostile-vmm"),
            stream_end: &path("stream-end"),
            tun: Some(&path("tun")),
            load: None,
            guest: &guest,
        };
        build_host(&parts, &path("host")).unwrap();
        let entries = entries(&fs::read(path("host/initrd")).unwrap());
        for (name, content) in [
            (HOST_MODULE, b"module".as_slice()),
            (HOST_KERNEL, b"guest-kernel"),
            (HOST_INITRD, b"guest-initrd"),
            (HOST_DISK, &disk()),
            ("/bin/host-vmm", b"host-vmm"),
            ("/bin/hostile-vmm", b"hostile-vmm"),
            ("/bin/stream-end", b"stream-end"),
            (HOST_TUN, b"tun"),
            (SOAK_PROGRAM, b"soak"),
        ] {
            let entry = entries.iter().find(|entry| format!("/{}", entry.0) == name);
            assert!(entry.expect(name).3 == content, "{name}");
        }
    }

    #[test]
    fn a_small_guest_is_an_image_that_branches_to_its_instructions() {
        let image = small_guest(&WAITS);
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        assert_eq!(word(0), 0x1400_0010);
        assert_eq!(word(16), 72);
        assert_eq!(word(56), 0x644d_5241);
        assert_eq!([word(64), word(68)], WAITS);
        assert_eq!(image.len(), 72);
    }

    #[test]
    fn no_two_blocks_of_the_disk_are_alike() {
        let disk = disk();
        assert_eq!(disk.len(), DISK_BYTES);
        let blocks: std::collections::HashSet<_> = disk.chunks(512).collect();
        assert_eq!(blocks.len(), DISK_BYTES / 512);
        assert_eq!(disk_checksum().len(), 64);
    }
}
