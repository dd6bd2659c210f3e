//! What the device tree says about the machine.

#![allow(unsafe_code)]

use core::fmt;

use arrayvec::{ArrayString, ArrayVec};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property, ToCellInt};

use crate::memory::Range;

/// Most CPUs that this program uses; `image.ld` and the window in `paging.rs` agree.
pub(crate) const MAX_CPUS: usize = 64;

/// A carve-out that the normal world must stay out of, by the name of its node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CarveOut {
    /// Protection tables.
    Root,
    /// Secure world.
    Secure,
    /// The RMM and its memory.
    Realm,
    /// The page that the RMM and EL3 share.
    Shared,
}

impl CarveOut {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Root, Self::Secure, Self::Realm, Self::Shared];

    /// Name of the node.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Secure => "secure",
            Self::Realm => "realm",
            Self::Shared => "shared",
        }
    }
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Memory of the normal world.
    pub(crate) memory: ArrayVec<Range, 16>,
    /// Carve-outs of the other worlds.
    pub(crate) carve_outs: ArrayVec<(CarveOut, Range), 16>,
    /// Other reserved memory, the device tree and the initial RAM disk.
    pub(crate) in_use: ArrayVec<Range, 32>,
    /// Where the registers of devices start.
    pub(crate) devices: ArrayVec<u64, 64>,
    /// The initial RAM disk: what runs inside Realms.
    pub(crate) initrd: Option<Range>,
    /// The interrupt controller.
    pub(crate) gic: Option<GicRegisters>,
    /// Affinity of each CPU; the one that runs the tests is number 0.
    pub(crate) cpus: ArrayVec<u64, MAX_CPUS>,
    /// Command line.
    pub(crate) arguments: ArrayString<2048>,
}

/// Where the registers of the interrupt controller are, a `GICv3`.
#[derive(Clone, Debug)]
pub(crate) struct GicRegisters {
    /// Of the distributor.
    pub(crate) distributor: Range,
    /// Of the redistributors, in regions.
    pub(crate) redistributors: ArrayVec<Range, 4>,
}

/// Why the device tree cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MachineError {
    /// The blob is not a device tree, or is damaged.
    Malformed,
    /// A property that has to be there is missing or malformed.
    Property(&'static str),
    /// More ranges than this program can keep.
    TooMany(&'static str),
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the device tree is malformed"),
            Self::Property(name) => {
                write!(f, "the device tree has no usable property '{name}'")
            }
            Self::TooMany(what) => write!(f, "the device tree has too many {what}"),
        }
    }
}

/// Size limit of a device tree in the arm64 boot protocol.
const LARGEST_DEVICE_TREE: usize = 2 << 20;

/// The device tree at an address.
///
/// # Safety
///
/// The memory there is mapped and nobody writes on it from now on.
pub(crate) unsafe fn device_tree(address: u64) -> Result<Fdt<'static>, MachineError> {
    const MAGIC: u32 = 0xd00d_feed;
    let start = address as *const u8;
    // SAFETY: the caller vouches for the memory; a header has ten words.
    let header = unsafe { core::slice::from_raw_parts(start, 40) };
    let word = |offset| {
        header
            .get(offset..offset + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes)
    };
    let size = word(4) as usize;
    if word(0) != MAGIC || size > LARGEST_DEVICE_TREE {
        return Err(MachineError::Malformed);
    }
    // SAFETY: as above, for the size that the header gives.
    let blob = unsafe { core::slice::from_raw_parts(start, size) };
    Fdt::new(blob).map_err(|_| MachineError::Malformed)
}

impl Machine {
    /// Reads the device tree; `boot_cpu` is the affinity of the CPU that runs this.
    pub(crate) fn read(tree: Fdt<'static>, boot_cpu: u64) -> Result<Self, MachineError> {
        let mut machine = Self {
            memory: ArrayVec::new(),
            carve_outs: ArrayVec::new(),
            in_use: ArrayVec::new(),
            devices: ArrayVec::new(),
            initrd: None,
            gic: gic(tree)?,
            cpus: ArrayVec::new(),
            arguments: ArrayString::new(),
        };
        machine.read_memory(tree)?;
        machine.read_reserved(tree)?;
        machine.read_devices(tree);
        machine.read_chosen(tree)?;
        machine.read_cpus(tree, boot_cpu)?;
        let blob = tree.data();
        machine.add_in_use(Range::new(blob.as_ptr() as u64, blob.len() as u64))?;
        Ok(machine)
    }

    fn read_memory(&mut self, tree: Fdt<'static>) -> Result<(), MachineError> {
        for node in tree.root().children() {
            if node.name_without_address() != "memory" || !is_enabled(node) {
                continue;
            }
            for range in ranges(node)? {
                self.memory
                    .try_push(range?)
                    .map_err(|_| MachineError::TooMany("ranges of memory"))?;
            }
        }
        Ok(())
    }

    fn read_reserved(&mut self, tree: Fdt<'static>) -> Result<(), MachineError> {
        let Some(reserved) = tree.find_node("/reserved-memory") else {
            return Ok(());
        };
        for node in reserved.children() {
            let carve_out = CarveOut::ALL
                .into_iter()
                .find(|carve_out| carve_out.name() == node.name_without_address());
            for range in ranges(node)? {
                match carve_out {
                    Some(carve_out) => self
                        .carve_outs
                        .try_push((carve_out, range?))
                        .map_err(|_| MachineError::TooMany("carve-outs"))?,
                    None => self.add_in_use(range?)?,
                }
            }
        }
        Ok(())
    }

    fn read_devices(&mut self, tree: Fdt<'static>) {
        for node in tree.root().children() {
            if node.name_without_address() == "memory" || node.compatible().is_none() {
                continue;
            }
            let Ok(ranges) = ranges(node) else { continue };
            for range in ranges.flatten() {
                // A few are enough: what does not fit is dropped.
                let _ = self.devices.try_push(range.start());
            }
        }
    }

    fn read_chosen(&mut self, tree: Fdt<'static>) -> Result<(), MachineError> {
        let Some(chosen) = tree.find_node("/chosen") else {
            return Ok(());
        };
        if let Some(arguments) = chosen.property("bootargs") {
            let arguments: &str = arguments
                .value_as()
                .map_err(|_| MachineError::Property("bootargs"))?;
            self.arguments = ArrayString::from(arguments)
                .map_err(|_| MachineError::TooMany("bytes in bootargs"))?;
        }
        let (start, end) = (
            address(chosen, "linux,initrd-start")?,
            address(chosen, "linux,initrd-end")?,
        );
        if let (Some(start), Some(end)) = (start, end) {
            let size = end
                .checked_sub(start)
                .ok_or(MachineError::Property("linux,initrd-end"))?;
            let initrd = Range::new(start, size);
            self.add_in_use(initrd)?;
            self.initrd = Some(initrd);
        }
        Ok(())
    }

    fn read_cpus(&mut self, tree: Fdt<'static>, boot_cpu: u64) -> Result<(), MachineError> {
        let cpus = tree.cpus().map_err(|_| MachineError::Property("cpus"))?;
        self.cpus.push(boot_cpu);
        for cpu in cpus.cpus() {
            let id = cpu
                .ids()
                .ok()
                .and_then(|mut ids| ids.next())
                .and_then(|id| id.to_int::<u64>().ok())
                .ok_or(MachineError::Property("cpu reg"))?;
            if id != boot_cpu && self.cpus.try_push(id).is_err() {
                // More than this program can use: the rest stays off.
                break;
            }
        }
        Ok(())
    }

    fn add_in_use(&mut self, range: Range) -> Result<(), MachineError> {
        self.in_use
            .try_push(range)
            .map_err(|_| MachineError::TooMany("reserved ranges"))
    }

    /// The initial RAM disk.
    pub(crate) fn initrd(&self) -> Option<&'static [u8]> {
        let range = self.initrd?;
        let size = usize::try_from(range.size()).ok()?;
        // SAFETY: the boot protocol puts it there, it is mapped, and it is kept out of the memory
        // that tests are given, so nobody writes to it.
        Some(unsafe { core::slice::from_raw_parts(range.start() as *const u8, size) })
    }

    /// A carve-out; the largest of its name.
    pub(crate) fn carve_out(&self, wanted: CarveOut) -> Option<Range> {
        self.carve_outs
            .iter()
            .filter(|(carve_out, _)| *carve_out == wanted)
            .map(|(_, range)| *range)
            .max_by_key(Range::size)
    }

    /// All memory that there is: of the normal world and carved out of it.
    pub(crate) fn dram(&self) -> impl Iterator<Item = Range> {
        self.memory
            .iter()
            .copied()
            .chain(self.carve_outs.iter().map(|(_, range)| *range))
    }

    /// Memory that nobody uses, without `image`, in whole granules.
    pub(crate) fn free_memory(&self, image: Range) -> ArrayVec<Range, 32> {
        let mut free = ArrayVec::new();
        for bank in &self.memory {
            let mut start = bank.start();
            while start < bank.end() {
                let holes = self
                    .in_use
                    .iter()
                    .chain(self.carve_outs.iter().map(|(_, range)| range))
                    .chain([&image]);
                // The nearest hole that ends behind `start`.
                let hole = holes
                    .filter(|hole| hole.end() > start && hole.start() < bank.end())
                    .min_by_key(|hole| hole.start());
                let end = hole.map_or(bank.end(), |hole| hole.start().max(start));
                let range = Range::new(start, end - start).whole_granules();
                if range.size() > 0 {
                    // Ranges that do not fit are not needed.
                    let _ = free.try_push(range);
                }
                start = hole.map_or(bank.end(), Range::end);
            }
        }
        free
    }
}

fn is_enabled(node: FdtNode) -> bool {
    node.property("status").is_none_or(|status| {
        status
            .value_as::<&str>()
            .is_ok_and(|status| status == "okay")
    })
}

type Ranges<'a> = Result<Range, MachineError>;

fn ranges(node: FdtNode<'static>) -> Result<impl Iterator<Item = Ranges<'static>>, MachineError> {
    const REG: MachineError = MachineError::Property("reg");
    let reg = node.reg().map_err(|_| REG)?.ok_or(REG)?;
    Ok(reg.map(|reg| {
        let start: u64 = reg.address().map_err(|_| REG)?;
        let size: u64 = reg.size().map_err(|_| REG)?;
        start.checked_add(size).ok_or(REG)?;
        Ok(Range::new(start, size))
    }))
}

/// An address in one or two cells.
fn address(node: FdtNode, name: &'static str) -> Result<Option<u64>, MachineError> {
    let Some(property) = node.property(name) else {
        return Ok(None);
    };
    let value = property
        .value_as::<u64>()
        .or_else(|_| property.value_as::<u32>().map(u64::from));
    value.map(Some).map_err(|_| MachineError::Property(name))
}

/// Physical address of the console, a PL011.
pub(crate) fn console(tree: Fdt<'static>) -> Result<u64, MachineError> {
    const PATH: MachineError = MachineError::Property("stdout-path");
    let chosen = tree.find_node("/chosen").ok_or(PATH)?;
    let path = chosen.property("stdout-path").ok_or(PATH)?;
    let path: &str = path.value_as().map_err(|_| PATH)?;
    // Line settings may follow a colon.
    let path = path.split(':').next().unwrap_or(path);
    let node = tree.find_node(path).ok_or(PATH)?;
    let is_pl011 = node
        .compatible()
        .is_some_and(|mut names| names.any(|name| name == "arm,pl011"));
    if !is_pl011 {
        return Err(PATH);
    }
    let registers = ranges(node)?.next().ok_or(PATH)??;
    Ok(registers.start())
}

fn gic(tree: Fdt<'static>) -> Result<Option<GicRegisters>, MachineError> {
    let is_gic = |node: &FdtNode| {
        node.compatible()
            .is_some_and(|mut names| names.any(|name| name == "arm,gic-v3"))
    };
    let Some(node) = tree.root().children().find(is_gic) else {
        return Ok(None);
    };
    // More may follow the distributor than redistributors.
    let regions = match node.property("#redistributor-regions") {
        Some(count) => count
            .value_as::<u32>()
            .map_err(|_| MachineError::Property("#redistributor-regions"))?,
        None => 1,
    };
    let mut registers = ranges(node)?;
    let distributor = registers.next().ok_or(MachineError::Property("reg"))??;
    let mut redistributors = ArrayVec::new();
    for region in registers.take(regions as usize) {
        redistributors
            .try_push(region?)
            .map_err(|_| MachineError::TooMany("regions of redistributors"))?;
    }
    Ok(Some(GicRegisters {
        distributor,
        redistributors,
    }))
}
