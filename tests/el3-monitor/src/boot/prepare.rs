//! Before the worlds: the monitor's memory, the machine's devices, the plan, the protection tables.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicU64;

use el3_monitor::granule_protection::{ProtectedSpace, Protection, Tables};
use el3_monitor::kernel_image::{HEADER_SIZE, KernelImage};
use el3_monitor::layout::{Layout, RmmImage};
use el3_monitor::machine::Machine;
use el3_monitor::psci::MAX_CPUS;
use el3_monitor::region::GRANULE;
use el3_monitor::{Region, boot_manifest, index, interface};
use rmm_abi::el3::ImageHeader;

use super::BOOT_STACK;
use super::files::Files;
use crate::console::{self, fatal, say};
use crate::mmu::{self, Memory};
use crate::worlds::{WORLD_STACK_SIZE, WORLD_STACKS};
use crate::{crash, features, memory, platform, power, protection};

unsafe extern "C" {
    static TEXT_START: u8;
    static TEXT_END: u8;
    static RODATA_START: u8;
    static RODATA_END: u8;
    static IMAGE_END: u8;
    static DATA_START: u8;
    static BSS_END: u8;
    static UNINIT_END: u8;
}

/// The memory of the monitor itself.
pub(crate) fn map_monitor() {
    let region = |start: *const u8, end: *const u8| Region {
        start: start as u64,
        end: end as u64,
    };
    let code = region(&raw const TEXT_START, &raw const TEXT_END);
    let constants = region(&raw const RODATA_START, &raw const RODATA_END);
    let data = region(&raw const DATA_START, &raw const BSS_END);
    mmu::map(code, Memory::Code);
    mmu::map(constants, Memory::Constants);
    mmu::map(data, Memory::Data);
    // The rest are stacks and the heap. The lowest page of a stack stays unmapped.
    let world_stacks = WORLD_STACKS.address();
    let is_guard = |page: u64| {
        let in_stacks = page.wrapping_sub(world_stacks);
        page == BOOT_STACK.address()
            || page == crash::CRASH_STACK.address()
            || (index(in_stacks) < size_of_val(&WORLD_STACKS)
                && index(in_stacks).is_multiple_of(WORLD_STACK_SIZE))
    };
    let mut page = data.end;
    while page < &raw const UNINIT_END as u64 {
        let end = page + GRANULE;
        if !is_guard(page) {
            mmu::map(Region { start: page, end }, Memory::Data);
        }
        page = end;
    }
    mmu::map_device(Region {
        start: platform::EARLY_CONSOLE,
        end: platform::EARLY_CONSOLE + GRANULE,
    });
}

/// The flat image of the monitor, as it is in flash.
pub(crate) fn monitor_image() -> Region {
    Region {
        start: &raw const TEXT_START as u64,
        end: &raw const IMAGE_END as u64,
    }
}

/// The device tree that QEMU left.
pub(crate) fn find_device_tree() -> &'static [u8] {
    let room = Region {
        start: platform::DEVICE_TREE,
        end: platform::DEVICE_TREE + platform::DEVICE_TREE_LIMIT,
    };
    mmu::map(room, Memory::NonSecure);
    // SAFETY: mapped above; nobody else runs yet.
    let bytes = unsafe { memory::bytes(room) };
    // Magic number, then the size of all of it.
    let [0xd0, 0x0d, 0xfe, 0xed, s0, s1, s2, s3, ..] = bytes else {
        fatal!("there is no device tree at {:#x}", room.start);
    };
    let size = u32::from_be_bytes([*s0, *s1, *s2, *s3]) as usize;
    let Some(blob) = bytes.get(..size) else {
        fatal!("the device tree of {size} bytes is too large")
    };
    blob
}

pub(crate) fn open_devices(machine: &Machine) {
    mmu::map_device(Region {
        start: machine.console,
        end: machine.console + 1,
    });
    console::open(machine.console);
    mmu::map_device(Region {
        start: machine.firmware_config,
        end: machine.firmware_config + 1,
    });
    mmu::map_device(machine.gic.distributor);
    for region in &machine.gic.redistributors {
        mmu::map_device(*region);
    }
    if let Some(lines) = machine.power {
        mmu::map_device(Region {
            start: lines.controller,
            end: lines.controller + 1,
        });
        power::init(lines);
    }
    say!(
        "monitor {}, RMM-EL3 interface {}, boot manifest {}",
        env!("CARGO_PKG_VERSION"),
        interface::VERSION,
        boot_manifest::VERSION
    );
    let count = machine.cpus.len();
    if count > MAX_CPUS {
        fatal!("{count} CPUs are more than the {MAX_CPUS} that this monitor can handle");
    }
    say!("CPUs: {count}");
    for bank in &machine.banks {
        say!("memory: {bank} ({} MiB)", bank.size() >> 20);
    }
}

/// The plan for the machine, and the regions of the monitor outside DRAM.
pub(crate) struct Prepared {
    pub(crate) layout: Layout,
    pub(crate) space: ProtectedSpace,
    pub(crate) rmm: Option<RmmImage>,
}

/// Memory of the monitor outside DRAM.
const MONITOR_REGIONS: [Region; 2] = [platform::FLASH, platform::SRAM];

/// Finds a place for everything and maps it.
pub(crate) fn prepare(machine: &Machine, blob: &[u8], files: &Files) -> Prepared {
    let space = ProtectedSpace::new(
        features::physical_address_bits(),
        &machine.banks,
        &MONITOR_REGIONS,
    );
    let space = match space {
        Ok(space) if protection::entries_cover_a_gib() => space,
        Ok(_) => fatal!("this CPU's level 0 protection entries do not cover 1 GiB"),
        Err(error) => fatal!("{error}"),
    };
    let rmm = files.rmm.map(|file| RmmImage {
        file_size: file.size,
        header: interface::image_header(&files.first_bytes(file, size_of::<ImageHeader>())),
        cpus: files.hand_over.cpus(machine.cpus.len() as u64),
        withheld: files.hand_over.withheld,
    });
    let kernel = files.first_bytes(files.kernel, HEADER_SIZE);
    let kernel = match KernelImage::parse(&kernel, files.kernel.size) {
        Ok(kernel) => kernel,
        Err(error) => fatal!("opt/cloister/normal-world cannot be used: {error}"),
    };
    let initrd_size = files.initrd.map_or(0, |file| file.size);
    let here = Region {
        start: platform::DEVICE_TREE,
        end: platform::DEVICE_TREE + blob.len() as u64,
    };
    let plan = Layout::plan(machine, &space, &here, rmm.as_ref(), &kernel, initrd_size);
    let layout = match plan {
        Ok(layout) => layout,
        Err(error) => fatal!("{error}"),
    };
    mmu::map(layout.root, Memory::Data);
    mmu::map(layout.realm, Memory::Realm);
    mmu::map(layout.shared, Memory::Realm);
    mmu::map(layout.device_tree, Memory::NonSecure);
    for (name, region) in [
        ("root", layout.root),
        ("secure", layout.secure),
        ("realm", layout.realm),
        ("shared", layout.shared),
    ] {
        say!(
            "carve-out: {name:<6} {region} ({} KiB)",
            region.size() >> 10
        );
    }
    Prepared { layout, space, rmm }
}

/// Makes the protection tables from the plan.
pub(crate) fn protection_tables(machine: &Machine, layout: &Layout) -> Tables<'static> {
    let words = |region: Region| -> &'static [AtomicU64] {
        // SAFETY: the plan keeps the region in Root memory for one table of this kind; it is
        // aligned, mapped, and used by nothing else.
        unsafe {
            core::slice::from_raw_parts(
                core::ptr::with_exposed_provenance(index(region.start)),
                index(region.size() / 8),
            )
        }
    };
    let tables = Tables::new(
        words(layout.level_0),
        words(layout.level_1),
        layout.level_1.start,
        &machine.banks,
        &MONITOR_REGIONS,
    );
    for (region, protection) in [
        (platform::FLASH, Protection::Root),
        (platform::SRAM, Protection::Root),
        (layout.root, Protection::Root),
        (layout.secure, Protection::Secure),
        (layout.realm, Protection::Realm),
        (layout.gap, Protection::Root),
        (layout.shared, Protection::Realm),
    ] {
        tables.set(&region, protection);
    }
    memory::clean(layout.level_0);
    memory::clean(layout.level_1);
    tables
}
