//! What machines run on: the kernel's KVM, the Realm kernel module, and the RMM below them.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::system::System;
use super::{Line, Wish};
use crate::backend::RmiVersion;
use crate::backend::abilities::Abilities;
use crate::backend::kvm::{self, Calls, Flavour};
use crate::configuration::{Backend, HashAlgorithm};
use crate::layout::Layout;
use crate::sys::kvm::Node;
use crate::sys::uapi::{Information, MODULE_INTERFACE};

/// What opens device nodes; tests have kernels of their own.
pub trait Devices {
    /// A device node.
    type Node: Calls;

    /// Opens one.
    ///
    /// # Errors
    ///
    /// The kernel's.
    fn open(&self, path: &Path) -> io::Result<Self::Node>;
}

/// The device nodes of this host.
#[derive(Clone, Copy, Debug)]
pub struct RealDevices;

impl Devices for RealDevices {
    type Node = Node;

    fn open(&self, path: &Path) -> io::Result<Node> {
        Node::open(path)
    }
}

const MODULE: &str = "realm.ko";
const NODE: &str = "device node";
const RMM: &str = "RMM";
const KVM: &str = "KVM";

pub(super) fn lines(system: &System, devices: &impl Devices, wish: &Wish) -> Vec<Line> {
    let kvm = &wish.configuration.device_nodes.kvm;
    match (wish.realm(), wish.configuration.backend) {
        (false, _) => vec![ordinary(devices, kvm)],
        (true, Backend::KvmCca) => in_kernel(devices, kvm, wish).1,
        (true, Backend::Auto) => {
            // As a run does it: the kernel's KVM if that has Realms, else the module.
            let (there, lines) = in_kernel(devices, kvm, wish);
            if there {
                lines
            } else {
                module(system, devices, wish)
            }
        }
        (true, Backend::Module | Backend::Kvm) => module(system, devices, wish),
    }
}

/// Whose a device node is, so that one sees who may open it.
fn owner(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(node) => format!(
            "it belongs to user {} and group {}, mode {:04o}",
            node.uid(),
            node.gid(),
            node.permissions().mode() & 0o7777
        ),
        Err(_) => "its owner is not known".to_owned(),
    }
}

/// Opens a device node; the line that says why that is not possible, or that it is.
fn open<D: Devices>(
    devices: &D,
    name: &'static str,
    path: &Path,
    missing: &str,
) -> Result<(D::Node, Line), Line> {
    let shown = path.display();
    let node = devices.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Line::bad(name, format!("{shown} is not there"), missing),
        io::ErrorKind::PermissionDenied => Line::bad(
            name,
            format!("{shown} must not be opened; {}", owner(path)),
            "run as root, or give this user's group access with a rule of udev",
        ),
        _ => Line::bad(name, format!("{shown}: {error}"), missing),
    })?;
    if node.api_version() != kvm::API_VERSION {
        let found = format!("{shown} is something else");
        let advice = "give the right one with --realm-device or --kvm-device";
        return Err(Line::bad(name, found, advice));
    }
    let line = Line::good(name, format!("{shown} can be opened"));
    Ok((node, line))
}

const NO_KVM: &str = "this kernel has no KVM, or was not started at EL2: see its log for `kvm`";

fn ordinary(devices: &impl Devices, path: &Path) -> Line {
    match open(devices, KVM, path, NO_KVM) {
        Ok((_, line)) | Err(line) => line,
    }
}

/// Whether a kernel's KVM has Realms, and what there is to say of that.
fn in_kernel(devices: &impl Devices, path: &Path, wish: &Wish) -> (bool, Vec<Line>) {
    let (node, opened) = match open(devices, KVM, path, NO_KVM) {
        Ok(opened) => opened,
        Err(line) => return (false, vec![line]),
    };
    let mut lines = vec![opened];
    let bits = address_bits(wish);
    let made = node.create_vm(kvm::kind(Flavour::KvmCca, bits));
    let there = match made.map_err(|error| (error.raw_os_error(), error)) {
        Ok(_) => {
            lines.push(Line::good(RMM, "this kernel's KVM makes Realms itself"));
            true
        }
        Err((Some(libc::EINVAL), _)) => {
            lines.push(Line::bad(
                RMM,
                "this kernel's KVM has no Realms",
                "use the Realm kernel module, with --backend module or auto",
            ));
            false
        }
        Err((Some(libc::ENODEV), _)) => {
            lines.push(no_rmm());
            true
        }
        Err((Some(libc::EPROTONOSUPPORT), _)) => {
            lines.push(skew("this kernel's KVM", RmiVersion(None)));
            true
        }
        Err((_, error)) => {
            let found = format!("this kernel's KVM makes no Realm: {error}");
            lines.push(Line::bad(RMM, found, "see the kernel's log"));
            true
        }
    };
    (there, lines)
}

fn no_rmm() -> Line {
    Line::bad(
        RMM,
        "none answers",
        "this CPU has no RME, or the firmware has no Realm Management Monitor or has it switched off: \
         install firmware with an RMM that speaks RMI 1.0, and see its console at boot",
    )
}

/// Both sides of a difference, and which of them to change.
fn skew(who: &str, version: RmiVersion) -> Line {
    let found = format!("the RMM speaks RMI {version}, and {who} speaks RMI 1.0");
    let advice = match version.0 {
        Some((0, _)) => "the RMM is older: update the firmware to one with RMI 1.0",
        Some(_) => "the RMM is newer: update the host's side, or install firmware with RMI 1.0",
        None => "update the older side: the firmware of this machine, or its kernel",
    };
    Line::bad(RMM, found, advice)
}

fn address_bits(wish: &Wish) -> u8 {
    Layout::new(wish.configuration.memory, wish.configuration.cpus).ipa_bits
}

fn module(system: &System, devices: &impl Devices, wish: &Wish) -> Vec<Line> {
    let mut lines = vec![loaded(system)];
    let path = &wish.configuration.device_nodes.realm;
    let missing = "load the Realm kernel module: modprobe realm, or insmod realm.ko";
    let node = match open(devices, NODE, path, missing) {
        Ok((node, line)) => {
            lines.push(line);
            node
        }
        Err(line) => {
            lines.push(line);
            lines.push(Line::unknown(RMM, "only the module can tell"));
            return lines;
        }
    };
    let information = match node.information() {
        Ok(information) => information,
        Err(error) => {
            let found = format!("{} is not the module's: {error}", path.display());
            lines.push(Line::bad(
                RMM,
                found,
                "give the right one with --realm-device",
            ));
            return lines;
        }
    };
    lines.push(interface(&information));
    if information.module_interface != MODULE_INTERFACE {
        lines.push(Line::unknown(
            RMM,
            "only a module of the same interface can tell",
        ));
        return lines;
    }
    let made = node.create_vm(kvm::kind(Flavour::Module, address_bits(wish)));
    let version = RmiVersion::heard(&information);
    lines.push(match made.map_err(|error| (error.raw_os_error(), error)) {
        Ok(_) => Line::good(RMM, format!("speaks RMI {version}, as the module does")),
        Err((Some(libc::ENODEV), _)) => no_rmm(),
        Err((Some(libc::EPROTONOSUPPORT), _)) => skew("the Realm kernel module", version),
        // The width of addresses is one reason; the next line says so.
        Err((_, error)) => Line::bad(
            RMM,
            format!("makes no Realm: {error}"),
            "see the kernel's log for `realm`",
        ),
    });
    lines.extend(abilities(&information, wish));
    lines
}

/// The module and this program must speak the same interface.
fn interface(information: &Information) -> Line {
    let name = "module interface";
    let (module, ours) = (information.module_interface, MODULE_INTERFACE);
    if module == ours {
        return Line::good(name, format!("{module}, as this host-vmm has it"));
    }
    let found = format!("the module has interface {module}, and this host-vmm speaks {ours}");
    let advice = if module < ours {
        "the module is older: install the one of this release, unload realm and load it again"
    } else {
        "this host-vmm is older: install the one of the module's release"
    };
    Line::bad(name, found, advice)
}

/// Whether the module is there, and for which kernels it is.
fn loaded(system: &System) -> Line {
    if system.exists("/sys/module/realm") {
        return Line::good(MODULE, "loaded");
    }
    let Some(release) = system.release() else {
        return Line::bad(MODULE, "not loaded", "modprobe realm");
    };
    let for_kernels: Vec<String> = system
        .names("/lib/modules")
        .into_iter()
        .filter(|kernel| is_installed(system, kernel))
        .collect();
    if for_kernels.contains(&release) {
        return Line::bad(MODULE, "installed and not loaded", "modprobe realm");
    }
    if for_kernels.is_empty() {
        return Line::bad(
            MODULE,
            "not installed",
            format!(
                "install the package with the module's source, or build it with `make module KERNELS={release}` and load it with insmod"
            ),
        );
    }
    Line::bad(
        MODULE,
        format!(
            "installed for {}, and {release} runs",
            for_kernels.join(", ")
        ),
        format!("dkms autoinstall -k {release}, with the headers of that kernel"),
    )
}

/// Where modules from outside the kernel are: DKMS has them in one of these.
fn is_installed(system: &System, release: &str) -> bool {
    ["updates/dkms", "updates", "extra"].iter().any(|folder| {
        ["", ".xz", ".zst", ".gz"]
            .iter()
            .any(|end| system.exists(&format!("/lib/modules/{release}/{folder}/{MODULE}{end}")))
    })
}

/// What the RMM can do of what is wanted.
fn abilities(information: &Information, wish: &Wish) -> Option<Line> {
    let name = "Realm features";
    let all = Abilities::new(information.features)?;
    let configuration = &wish.configuration;
    let layout = Layout::new(configuration.memory, configuration.cpus);
    if let Some(lack) = all.lack(configuration, &layout) {
        let advice = "change the machine, or run it on another host";
        return Some(Line::bad(name, format!("there is no {lack}"), advice));
    }
    let vectors = all.vector_bits();
    let vectors = vectors.map_or("no SVE".to_owned(), |bits| format!("SVE {bits}"));
    let counters = all.counters();
    let counters = counters.map_or("no PMU".to_owned(), |n| format!("PMU with {n} counters"));
    let hashes = [HashAlgorithm::Sha256, HashAlgorithm::Sha512];
    let hashes: Vec<&str> = hashes
        .into_iter()
        .filter(|hash| all.hashes(*hash))
        .map(HashAlgorithm::name)
        .collect();
    Some(Line::good(
        name,
        format!(
            "{} bits of addresses, {} vCPUs, {}, {vectors}, {counters}, {} breakpoints, {} watchpoints",
            all.address_bits(),
            all.vcpus(),
            hashes.join(" and "),
            all.breakpoints(),
            all.watchpoints()
        ),
    ))
}
