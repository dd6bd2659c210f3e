//! Cold boot, on the first CPU: from EL3's registers and manifest to an RMM that serves.

mod first_console;

use core::slice;

use rmm_abi::el3::BootCode;
use rmm_abi::{GRANULE_SIZE, Version, manifest};
use rmm_core::Rmm;
use rmm_core::boot::{
    BootError, BootManifest, BootParameters, ColdBootRegisters, MemoryPlan, Region,
};
use rmm_core::granule::{GranuleAddress, GranuleRecord, GranuleTable};
use rmm_core::realm::VmidTable;
use rmm_core::statistics::CpuStatistics;
use rmm_core::vgic::GicLimits;
use rmm_hw::el3::attestation::SharedPage;
use rmm_hw::layout::{self, PAGE};
use rmm_hw::memory::{Zeroer, can_read};
use rmm_hw::translation::{self, Attributes, MapError, Tables};
use rmm_hw::{announce_cpus, cold_boot_done, continue_on_cpu_stack};
use rmm_hw::{console, el3, heap, identity, park, slot, tlb};

use crate::attestation;
use crate::protections::{self, Unprotected};
use crate::serve::{FIRST_CPU, RMM, STATISTICS, serve_after_cold_boot};

/// Interface revision from which EL3 can be asked for memory.
const RESERVE_MEMORY_SINCE: Version = Version::new(0, 7);

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

/// Who this is: the version, and the revision of the sources. A string of the image, so that it can be
/// told from the file as well.
const IDENTITY: &str = concat!(
    "Cloister RMM ",
    env!("CARGO_PKG_VERSION"),
    ", revision ",
    env!("CLOISTER_REVISION")
);

/// VMIDs in use.
static VMIDS: VmidTable = VmidTable::new();

/// Why cold boot ended early.
enum ColdBootError {
    /// What EL3 handed over does not fit.
    Refused(BootError),
    /// A mapping could not be made; a defect of the RMM, or addresses beyond its tables.
    Map(MapError),
    /// A page of the RMM can be used as it must not be.
    Unprotected(Unprotected),
}

impl From<Unprotected> for ColdBootError {
    fn from(error: Unprotected) -> Self {
        Self::Unprotected(error)
    }
}

impl From<BootError> for ColdBootError {
    fn from(error: BootError) -> Self {
        Self::Refused(error)
    }
}

impl From<MapError> for ColdBootError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// Called by `entry.S` on the boot stack, with X0 to X3 of EL3 and the physical address of the
/// image.
#[unsafe(no_mangle)]
extern "C" fn rmm_cold_boot(x0: u64, x1: u64, x2: u64, x3: u64, image: u64) -> ! {
    let registers = ColdBootRegisters {
        cpu: x0,
        interface: x1,
        cpus: x2,
        shared_page: x3,
    };
    match boot(&registers, image) {
        Ok(cpu) => {
            cold_boot_done();
            continue_on_cpu_stack(cpu, serve_after_cold_boot)
        }
        Err(ColdBootError::Refused(error)) => {
            park::refuse_boot(error.code(), format_args!("{error}"))
        }
        Err(ColdBootError::Map(error)) => park::refuse_boot(
            BootCode::Unknown,
            format_args!("cannot map memory: {error}"),
        ),
        Err(ColdBootError::Unprotected(error)) => {
            park::refuse_boot(BootCode::Unknown, format_args!("{error}"))
        }
    }
}

/// Brings the RMM up to where every CPU can serve. Returns this CPU's number.
fn boot(registers: &ColdBootRegisters, image: u64) -> Result<u32, ColdBootError> {
    // SAFETY: cold boot runs once, on one CPU, before all others.
    let mut tables = unsafe { Tables::take() };
    let parameters = registers.check();
    // The manifest names the console, so it is looked at even when the registers are wrong, and in
    // the page around an address that is none: the line that says so needs a console. What cannot
    // be read is passed over here.
    let page = GranuleAddress::new(registers.shared_page & !(PAGE - 1))
        .filter(|address| address.get() != 0)
        .and_then(|address| Some((copy_shared_page(&mut tables, address)?, address)));
    // Memory that the RMM's own tables cannot reach cannot be tracked.
    let address_bits = identity::physical_address_bits().min(translation::ADDRESS_BITS);
    let manifest = page
        .as_ref()
        .map(|(page, address)| BootManifest::read(page, *address, address_bits));
    match (&manifest, &page) {
        (Some(Ok(manifest)), _) => first_console::use_listed(&mut tables, manifest.consoles()),
        (_, Some((page, address))) => {
            let guesses = BootManifest::guess_consoles(page, *address);
            first_console::use_guessed(&mut tables, guesses);
        }
        _ => {}
    }
    let parameters = parameters?;
    let unreadable = BootError::SharedPageFaults {
        address: parameters.shared_page,
    };
    let manifest = manifest.ok_or(unreadable)??;
    console::line(format_args!(
        "{IDENTITY}, RMI 1.0, at {image:#x}; EL3 offers interface {}, boot manifest {}",
        parameters.interface, manifest.version,
    ));
    if manifest.version > manifest::VERSION {
        console::line(format_args!(
            "of this boot manifest, what {} does not have is ignored",
            manifest::VERSION
        ));
    }
    protections::check()?;

    let plan = find_memory(&mut tables, image, &parameters, &manifest)?;
    let (records, statistics) = prepare_memory(&mut tables, &plan, &parameters, &manifest)?;
    protections::check_stacks(parameters.cpus)?;
    for (base, size) in manifest.dram.iter() {
        console::line(format_args!(
            "DRAM {base:#x} to {:#x}, {} MiB",
            base + size,
            size >> 20
        ));
    }
    let granules = manifest.dram.granules();
    if granules == 0 {
        console::line(format_args!(
            "this boot manifest names no DRAM: nothing can be delegated"
        ));
    }
    console::line(format_args!(
        "{} CPUs; tables, stacks and records of {granules} granules: {} KiB at {}",
        parameters.cpus,
        plan.whole().size >> 10,
        plan.whole().base,
    ));
    let id = identity::identify();
    let features = id.feature_register_0();
    console::line(format_args!("feature register 0: {:#x}", features.word()));

    let table = GranuleTable::new(manifest.dram, records).ok_or(BootError::NoDram)?;
    FIRST_CPU.call_once(|| id);
    STATISTICS.call_once(|| statistics);
    RMM.call_once(|| {
        Rmm::new(
            table,
            &VMIDS,
            features,
            tlb::vmid_bits(),
            GicLimits::new(&id),
        )
    });
    // SAFETY: cold boot runs once.
    unsafe { heap::open_for_boot() };
    // SAFETY: `copy_shared_page` has mapped the page, and what it copied is all that was wanted of it.
    attestation::prepare(&mut unsafe {
        SharedPage::new(parameters.shared_page, parameters.interface)
    });
    heap::close_after_boot();
    announce_cpus(parameters.cpus);
    Ok(parameters.cpu)
}

/// A copy of the shared page; `None` when the page cannot be read.
fn copy_shared_page(tables: &mut Tables, address: GranuleAddress) -> Option<[u8; GRANULE_SIZE]> {
    // SAFETY: nothing else uses this page of the window.
    unsafe { tables.map_device_page(layout::SHARED_PAGE, address, Attributes::RealmMemory) }
        .ok()?;
    // SAFETY: it is mapped, and reading has no effect on anything but memory; EL3 hands over
    // memory in X3 in every version of the interface.
    if !unsafe { can_read(layout::SHARED_PAGE) } {
        return None;
    }
    let mut page = [0; GRANULE_SIZE];
    for (word, copy) in page.chunks_exact_mut(size_of::<u64>()).enumerate() {
        // SAFETY: the page is mapped and readable, and `word` counts its words. EL3 does not
        // write to it while the RMM boots.
        let value = unsafe {
            (layout::SHARED_PAGE as *const u64)
                .add(word)
                .read_volatile()
        };
        copy.copy_from_slice(&value.to_le_bytes());
    }
    Some(page)
}

/// Plans the RMM's own memory: right after the image, or else where EL3 gives some.
fn find_memory(
    tables: &mut Tables,
    image: u64,
    parameters: &BootParameters,
    manifest: &BootManifest,
) -> Result<MemoryPlan, ColdBootError> {
    let image_size = (&raw const __image_end) as u64 - (&raw const __image_start) as u64;
    let too_high = MapError::AddressTooHigh;
    let after_image = image
        .checked_add(image_size)
        .and_then(GranuleAddress::new)
        .ok_or(too_high)?;
    let plan = |base| {
        let table_pages = layout::table_pages(parameters.cpus.into());
        MemoryPlan::new(
            base,
            parameters,
            &manifest.dram,
            table_pages,
            layout::STACK_MEMORY_PER_CPU,
        )
        .ok_or(too_high)
    };
    let wanted = plan(after_image)?;
    let found = realm_memory(tables, wanted.whole(), parameters.shared_page)?;
    let needed = wanted.whole().size;
    if found == needed {
        return Ok(wanted);
    }
    if parameters.interface >= RESERVE_MEMORY_SINCE
        && let Ok(base) = el3::reserve_memory(needed, 12)
    {
        let reserved = plan(base)?;
        if realm_memory(tables, reserved.whole(), parameters.shared_page)? == needed {
            return Ok(reserved);
        }
    }
    Err(BootError::NotEnoughMemory {
        base: after_image,
        needed,
        found,
    }
    .into())
}

/// How many bytes from the start of a region on are memory of the Realm world and of no other,
/// found out by reading each granule through both. The shared page is EL3's.
fn realm_memory(
    tables: &mut Tables,
    region: Region,
    shared_page: GranuleAddress,
) -> Result<u64, MapError> {
    let mut found = 0;
    while found < region.size {
        let granule = GranuleAddress::new(region.base.get() + found)
            .filter(|&granule| granule != shared_page);
        let Some(granule) = granule else { break };
        let mut readable = |attributes| {
            // SAFETY: this page of the window is for trying only. What is tried is meant to be
            // memory, and EL3 has put no device behind an RMM's image.
            unsafe {
                tables.map_device_page(layout::PROBE, granule, attributes)?;
                Ok(can_read(layout::PROBE))
            }
        };
        if !readable(Attributes::RealmMemory)? || readable(Attributes::HostMemory)? {
            break;
        }
        found += PAGE;
    }
    // SAFETY: as above.
    unsafe { tables.unmap_device_page(layout::PROBE) };
    Ok(found)
}

/// What boot makes of the memory after the image.
type Prepared = (&'static [GranuleRecord], &'static [CpuStatistics]);

/// Maps the RMM's own memory and returns the granule records, all undelegated, and the statistics
/// of all CPUs.
fn prepare_memory(
    tables: &mut Tables,
    plan: &MemoryPlan,
    parameters: &BootParameters,
    manifest: &BootManifest,
) -> Result<Prepared, ColdBootError> {
    tables.add_table_memory(plan.tables)?;
    for cpu in 0..parameters.cpus {
        let share = plan.stacks.base.get() + u64::from(cpu) * layout::STACK_MEMORY_PER_CPU;
        let window = layout::PER_CPU + (u64::from(cpu) << layout::PER_CPU_SHIFT);
        for (offset, size, at) in [
            (layout::STACK, layout::STACK_SIZE, share),
            (
                layout::EXCEPTION_STACK,
                layout::EXCEPTION_STACK_SIZE,
                share + layout::STACK_SIZE,
            ),
            (
                layout::LOWER_HALF_TABLES,
                layout::LOWER_HALF_TABLES_SIZE,
                share + layout::STACK_SIZE + layout::EXCEPTION_STACK_SIZE,
            ),
        ] {
            let base = GranuleAddress::new(at).ok_or(MapError::AddressTooHigh)?;
            tables.map_memory(window + offset, Region { base, size })?;
        }
        slot::prepare(tables, cpu)?;
    }
    // The statistics follow the records.
    let both = Region {
        base: plan.records.base,
        size: plan.records.size + plan.statistics.size,
    };
    if both.size > layout::RECORDS_SIZE {
        return Err(MapError::NoTable.into());
    }
    let records = layout::RECORDS + both.base.get() % layout::WINDOW_SIZE;
    let statistics = records + plan.records.size;
    tables.map_memory(records, both)?;
    let count = usize::try_from(manifest.dram.granules()).map_err(|_| MapError::NoTable)?;
    let cpus = usize::try_from(parameters.cpus).map_err(|_| MapError::NoTable)?;
    // SAFETY: the memory was found to be Realm memory after the image, which nobody else uses;
    // it has just been mapped at `records`, which nothing refers to yet. All zeroes is a valid
    // record and a valid CPU's statistics, which begin on a page as they must. The plan has room
    // for one record of each granule and for the statistics of each CPU, and the memory is never
    // unmapped.
    unsafe {
        Zeroer::of_this_cpu().zero(records, both.size);
        Ok((
            slice::from_raw_parts(records as *const GranuleRecord, count),
            slice::from_raw_parts(statistics as *const CpuStatistics, cpus),
        ))
    }
}
