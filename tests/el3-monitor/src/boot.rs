//! From reset to the normal world, on every CPU.
#![allow(unsafe_code)]

mod files;
mod prepare;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use dtoolkit::fdt::Fdt;
use el3_monitor::attestation::{Attester, Measurements};
use el3_monitor::boot_manifest::Contents;
use el3_monitor::hand_over::HandOver;
use el3_monitor::layout::RmmImage;
use el3_monitor::machine::{self, Machine};
use el3_monitor::psci::{Cpus, MAX_CPUS};
use el3_monitor::services::Services;
use el3_monitor::{Region, boot_manifest, device_tree, interface};
use spin::Once;

use self::files::Files;
use self::prepare::Prepared;
use crate::console::{fatal, say};
use crate::context::Context;
use crate::features::{self, Features};
use crate::memory::{Stack, Uninitialised};
use crate::protection::{Check, Maintenance};
use crate::registers::execute;
use crate::worlds::{self, WORLD_STACK_SIZE, WORLD_STACKS, World};
use crate::{gic, memory, mmu, rmm};

const BOOT_STACK_SIZE: usize = 0x2_1000;

#[unsafe(link_section = ".uninit.boot_stack")]
static BOOT_STACK: Uninitialised<Stack<BOOT_STACK_SIZE>> = Uninitialised::new();

/// How the first CPU tells the others their numbers: count, then affinities. A count of zero
/// keeps them waiting. They read it without caches.
#[repr(C, align(64))]
pub(crate) struct Mailbox {
    count: AtomicU64,
    affinities: [AtomicU64; MAX_CPUS],
}

static MAILBOX: Mailbox = Mailbox {
    count: AtomicU64::new(0),
    affinities: [const { AtomicU64::new(0) }; MAX_CPUS],
};

core::arch::global_asm!(
    include_str!("boot.S"),
    SCTLR = const mmu::SCTLR_RES1,
    BOOT_STACK = sym BOOT_STACK,
    BOOT_STACK_SIZE = const BOOT_STACK_SIZE,
    MAILBOX = sym MAILBOX,
    WORLD_STACKS = sym WORLD_STACKS,
    WORLD_STACK_SIZE = const WORLD_STACK_SIZE,
    CONTEXT_SIZE = const size_of::<Context>(),
    primary_cpu = sym primary_cpu,
    secondary_cpu = sym secondary_cpu,
);

/// What the monitor knows while the worlds run.
pub(crate) struct Runtime {
    pub(crate) affinities: &'static [u64],
    pub(crate) cpus: Cpus<'static>,
    pub(crate) services: Services<'static>,
    pub(crate) maintenance: Maintenance,
    pub(crate) features: Features,
    check: Check,
    /// Where the RMM is entered, when there is one.
    rmm_entry: u64,
    /// What the RMM is told instead of what is so.
    pub(crate) hand_over: HandOver,
}

static RUNTIME: Once<Runtime> = Once::new();

/// What the monitor knows; it is there before any world runs.
pub(crate) fn runtime() -> &'static Runtime {
    let Some(runtime) = RUNTIME.get() else {
        fatal!("a world runs before the monitor is ready")
    };
    runtime
}

/// Makes the other CPUs wait again after a reset.
pub(crate) fn close_mailbox() {
    MAILBOX.count.store(0, Ordering::Relaxed);
    clean_mailbox();
}

fn clean_mailbox() {
    let start = &raw const MAILBOX as u64;
    memory::clean(Region {
        start,
        end: start + size_of::<Mailbox>() as u64,
    });
}

/// The first CPU, after its memory is cleared.
extern "C" fn primary_cpu() -> ! {
    prepare::map_monitor();
    mmu::enable();
    memory::init_heap();
    let blob = prepare::find_device_tree();
    let tree = match machine::parse(blob) {
        Ok(tree) => tree,
        Err(error) => fatal!("the device tree cannot be used: {error}"),
    };
    let mut machine = match Machine::from_device_tree(&tree) {
        Ok(machine) => machine,
        Err(error) => fatal!("the device tree cannot be used: {error}"),
    };
    prepare::open_devices(&machine);
    if !features::has_realm_management() {
        fatal!("this CPU has no Realm Management Extension (QEMU: -cpu max,x-rme=on)");
    }
    let files = Files::open(&machine, blob);
    machine.banks.extend(&files.hand_over.memory);
    let prepared = prepare::prepare(&machine, blob, &files);
    files.load(&prepared);
    start_worlds(machine, &tree, &files, &prepared)
}

/// From here on the worlds are apart: protection on, other CPUs released, RMM and normal world
/// booted.
fn start_worlds(machine: Machine, tree: &Fdt<'_>, files: &Files, prepared: &Prepared) -> ! {
    let layout = &prepared.layout;
    let check = Check {
        level_0: layout.level_0.start,
        space: prepared.space,
    };
    let tables = prepare::protection_tables(&machine, layout);
    check.enable();
    let features = Features::of_this_cpu();
    features.open_to_lower_levels();

    let image = prepared.rmm.map(|rmm| Region {
        start: layout.realm.start,
        end: layout.realm.start + rmm.file_size,
    });
    let measurement = image.map(rmm::measure);
    let key = rmm::make_realm_key();
    if let Some(fault) = files.fault {
        say!(
            "!!! FAULT INJECTED (opt/cloister/fault): {}",
            fault.describe()
        );
    }
    if key.is_none() {
        say!("no random bits from this CPU (FEAT_RNG): there will be no attestation key");
    }
    let attester = measurement.and_then(|rmm| attester(files, rmm));
    let affinities: &'static [u64] = Vec::leak(machine.cpus.clone());
    let truth = Contents::of(&machine.banks, machine.console);
    let manifest = boot_manifest::build(layout.shared.start, &truth, &files.hand_over);
    let Some(manifest) = manifest else {
        fatal!("the memory banks do not fit the boot manifest");
    };
    // SAFETY: the shared page is mapped, and the RMM does not run yet.
    unsafe { memory::write_clean(layout.shared.start, &manifest) };

    let runtime = RUNTIME.call_once(|| Runtime {
        affinities,
        cpus: Cpus::new(affinities),
        services: Services::new(
            tables,
            layout.shared,
            layout.pool,
            key,
            attester,
            files.fault,
        ),
        maintenance: Maintenance::of_this_cpu(),
        features,
        check,
        rmm_entry: layout.realm.start,
        hand_over: files.hand_over.clone(),
    });
    gic::init_distributor(machine.gic);
    if !gic::init_cpu(0) {
        fatal!("CPU 0 has no interrupt redistributor");
    }
    open_mailbox(affinities);

    match (&prepared.rmm, measurement) {
        (Some(rmm), Some(measurement)) => {
            say!("RMM image: {} bytes, SHA-256 {measurement}", rmm.file_size);
            boot_rmm(runtime, rmm, layout.shared.start);
        }
        _ => say!("the Realm world is off: no RMM image (opt/cloister/rmm)"),
    }

    let further = &files.hand_over.memory;
    let new_tree = match device_tree::rewrite(tree, layout, further, files.command_line()) {
        Ok(new_tree) if new_tree.len() as u64 <= layout.device_tree.size() => new_tree,
        Ok(_) => fatal!("the device tree for the normal world is too large"),
        Err(error) => fatal!("the device tree cannot be used: {error}"),
    };
    // SAFETY: mapped, kept for this, and the normal world does not run yet.
    unsafe { memory::write_clean(layout.device_tree.start, &new_tree) };
    say!(
        "normal world: {} bytes at {:#x}, device tree at {:#x}",
        files.kernel.size,
        layout.kernel.start,
        layout.device_tree.start
    );
    if !layout.initrd.is_empty() {
        say!("initial RAM disk: {}", layout.initrd);
    }
    worlds::prepare(
        0,
        World::Normal,
        features,
        layout.kernel.start,
        &[layout.device_tree.start],
    );
    worlds::enter_normal(0)
}

/// Who makes platform tokens over this RMM, if there is a key for it.
fn attester(files: &Files, rmm: rmm::Measurement) -> Option<Attester> {
    let Some(key) = files.attestation_key() else {
        say!("no platform token: no attestation key (opt/cloister/cpak)");
        return None;
    };
    let image = prepare::monitor_image();
    let monitor = rmm::measure(image);
    say!("monitor image: {} bytes, SHA-256 {monitor}", image.size());
    say!("attestation key: instance {}", key.instance_id());
    let measurements = Measurements {
        monitor: monitor.0,
        rmm: rmm.0,
    };
    Some(Attester::new(key, measurements, files.fault))
}

fn boot_rmm(runtime: &Runtime, rmm: &RmmImage, shared: u64) {
    match rmm.header {
        None => say!(
            "the RMM image does not say which RMM-EL3 interface it speaks; this monitor speaks {}",
            interface::VERSION
        ),
        Some(header) => match interface::check(&header, rmm.file_size) {
            Ok(versions) => say!(
                "the RMM image speaks RMM-EL3 interface {versions}, this monitor {}",
                interface::VERSION
            ),
            Err(refusal) => {
                say!("the Realm world is off: the RMM image is refused: {refusal}");
                return;
            }
        },
    }
    rmm::cold_boot(runtime, runtime.rmm_entry, shared);
}

/// Tells the other CPUs their numbers.
fn open_mailbox(affinities: &[u64]) {
    for (place, affinity) in MAILBOX.affinities.iter().zip(affinities) {
        place.store(*affinity, Ordering::Relaxed);
    }
    clean_mailbox();
    MAILBOX
        .count
        .store(affinities.len() as u64, Ordering::Release);
    clean_mailbox();
    // SAFETY: wakes who waits for an event.
    unsafe { execute!("sev") };
}

/// Another CPU, when the first has told it its number.
extern "C" fn secondary_cpu(cpu: usize) -> ! {
    mmu::enable();
    let runtime = runtime();
    runtime.check.enable();
    runtime.features.open_to_lower_levels();
    let affinity = runtime.affinities.get(cpu).copied();
    if !affinity.is_some_and(gic::init_cpu) {
        fatal!("CPU {cpu} has no interrupt redistributor");
    }
    wait_and_start(cpu)
}

/// A CPU that is off waits until it is switched on, then boots the RMM and the normal world.
pub(crate) fn wait_and_start(cpu: usize) -> ! {
    let runtime = runtime();
    // Nothing of the world that ran here must keep the CPU awake.
    runtime.features.reset_el2();
    let start = loop {
        gic::wait_for_wake();
        if let Some(start) = runtime.cpus.start(cpu) {
            break start;
        }
    };
    rmm::warm_boot(runtime, cpu, runtime.rmm_entry);
    worlds::prepare(
        cpu,
        World::Normal,
        runtime.features,
        start.entry,
        &[start.context],
    );
    worlds::enter_normal(cpu)
}
