//! What the machine is made of, as its device tree says.

use alloc::vec::Vec;
use core::fmt;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard as _;
use dtoolkit::{Node as _, Property as _};

use crate::Region;
use crate::region::GRANULE;

/// Memory banks that the monitor can handle, a bound for the manifest.
pub const MAX_BANKS: usize = 64;
/// Nodes and properties that a device tree may have, a bound for the heap.
const MAX_ITEMS: usize = 8192;
/// Depth of a device tree, a bound for the stack.
const MAX_DEPTH: usize = 16;
/// The affinity fields of MPIDR, as `reg` of a CPU node has them.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// The generic interrupt controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gic {
    /// Registers of the distributor.
    pub distributor: Region,
    /// Registers of the redistributors.
    pub redistributors: Vec<Region>,
}

/// The lines of a PL061 GPIO controller that switch the machine off and reset it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PowerLines {
    /// Registers of the controller.
    pub controller: u64,
    /// Line that switches off.
    pub off: u8,
    /// Line that resets.
    pub reset: u8,
}

/// The parts of the machine that the monitor uses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// DRAM, ascending; banks that touch are one.
    pub banks: Vec<Region>,
    /// Affinities of the CPUs, ascending; a CPU's place here is its linear number.
    pub cpus: Vec<u64>,
    /// Registers of the PL011 of `stdout-path`.
    pub console: u64,
    /// Registers of the firmware-configuration device.
    pub firmware_config: u64,
    /// The interrupt controller.
    pub gic: Gic,
    /// How the machine is switched off, where it can be.
    pub power: Option<PowerLines>,
}

/// What is wrong with a device tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MachineError {
    /// It is not a flattened device tree.
    Malformed,
    /// It is too large or too deep.
    TooLarge,
    /// A node that the monitor needs is missing.
    Missing(&'static str),
    /// A property cannot be read.
    Property(&'static str),
    /// There is no DRAM.
    NoMemory,
    /// DRAM overlaps, is not made of whole granules, or has too many banks.
    MemoryLayout,
    /// Two CPUs have the same affinity, or none has affinity 0.
    Cpus,
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "not a flattened device tree"),
            Self::TooLarge => write!(f, "too large or too deep"),
            Self::Missing(what) => write!(f, "no {what}"),
            Self::Property(what) => write!(f, "cannot read {what}"),
            Self::NoMemory => write!(f, "no memory"),
            Self::MemoryLayout => {
                write!(
                    f,
                    "memory overlaps, is misaligned, or has more than {MAX_BANKS} banks"
                )
            }
            Self::Cpus => write!(f, "CPU affinities repeat, or none is 0"),
        }
    }
}

/// How many cells an address and a size have in `reg` of a node's children.
#[derive(Clone, Copy)]
pub(crate) struct CellCounts {
    pub(crate) address: usize,
    pub(crate) size: usize,
}

impl CellCounts {
    pub(crate) fn of(parent: &FdtNode<'_>) -> Result<Self, MachineError> {
        let cells = |count: Result<u32, _>| match count {
            Ok(count @ 0..=2) => Ok(count as usize),
            _ => Err(MachineError::Property("#address-cells or #size-cells")),
        };
        Ok(Self {
            address: cells(parent.address_cells())?,
            size: cells(parent.size_cells())?,
        })
    }

    /// The regions in `reg` of a child.
    pub(crate) fn regions(self, node: &FdtNode<'_>) -> Result<Vec<Region>, MachineError> {
        let error = MachineError::Property("reg");
        let property = node.property("reg").ok_or(error)?;
        let element = 4 * (self.address + self.size);
        if element == 0 || !property.value().len().is_multiple_of(element) {
            return Err(error);
        }
        property
            .value()
            .chunks_exact(element)
            .map(|bytes| {
                let (address, size) = bytes.split_at(4 * self.address);
                Region::new(number(address), number(size)).ok_or(error)
            })
            .collect()
    }
}

/// A big-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Checks a tree and that its model fits the heap and the stack.
///
/// # Errors
///
/// [`MachineError::Malformed`], [`MachineError::TooLarge`]
pub fn parse(blob: &[u8]) -> Result<Fdt<'_>, MachineError> {
    fn count(node: &FdtNode<'_>, depth: usize, items: &mut usize) -> Result<(), MachineError> {
        if depth == MAX_DEPTH {
            return Err(MachineError::TooLarge);
        }
        *items += 1 + node.properties().take(MAX_ITEMS).count();
        if *items > MAX_ITEMS {
            return Err(MachineError::TooLarge);
        }
        node.children()
            .try_for_each(|child| count(&child, depth + 1, items))
    }
    let tree = Fdt::new(blob).map_err(|_| MachineError::Malformed)?;
    count(&tree.root(), 0, &mut 0)?;
    Ok(tree)
}

/// Whether a node is DRAM that the normal world may use.
pub(crate) fn is_memory(node: &FdtNode<'_>) -> bool {
    let text = |name| {
        node.property(name)
            .map(|property| property.value_as::<&str>().unwrap_or_default())
    };
    text("device_type") == Some("memory") && matches!(text("status"), None | Some("okay"))
}

impl Machine {
    /// Reads what the monitor needs to know out of a tree.
    ///
    /// # Errors
    ///
    /// See [`MachineError`].
    pub fn from_device_tree(tree: &Fdt<'_>) -> Result<Self, MachineError> {
        let root = tree.root();
        let cells = CellCounts::of(&root)?;
        let register_base = |node: FdtNode<'_>| {
            let regions = cells.regions(&node)?;
            let first = regions.first().ok_or(MachineError::Property("reg"))?;
            Ok(first.start)
        };
        let compatible = |what| {
            root.find_compatible(what)
                .next()
                .ok_or(MachineError::Missing(what))
        };
        Ok(Self {
            banks: banks(&root, cells)?,
            cpus: cpus(tree)?,
            console: register_base(console(tree)?)?,
            firmware_config: register_base(compatible("qemu,fw-cfg-mmio")?)?,
            gic: gic(&compatible("arm,gic-v3")?, cells)?,
            power: power_lines(&root, cells),
        })
    }

    /// Granules in all banks.
    pub fn granules(&self) -> u64 {
        self.banks.iter().map(Region::size).sum::<u64>() / GRANULE
    }
}

fn banks(root: &FdtNode<'_>, cells: CellCounts) -> Result<Vec<Region>, MachineError> {
    let mut found = Vec::new();
    for node in root.children().filter(is_memory) {
        found.extend(cells.regions(&node)?);
    }
    found.retain(|bank| !bank.is_empty());
    found.sort_unstable();
    let mut banks: Vec<Region> = Vec::new();
    for bank in found {
        if !bank.start.is_multiple_of(GRANULE) || !bank.end.is_multiple_of(GRANULE) {
            return Err(MachineError::MemoryLayout);
        }
        match banks.last_mut() {
            Some(last) if last.end > bank.start => return Err(MachineError::MemoryLayout),
            Some(last) if last.end == bank.start => last.end = bank.end,
            _ => banks.push(bank),
        }
    }
    match banks.len() {
        0 => Err(MachineError::NoMemory),
        1..=MAX_BANKS => Ok(banks),
        _ => Err(MachineError::MemoryLayout),
    }
}

fn cpus(tree: &Fdt<'_>) -> Result<Vec<u64>, MachineError> {
    let node = tree
        .find_node("/cpus")
        .ok_or(MachineError::Missing("/cpus"))?;
    let cells = CellCounts::of(&node)?;
    let mut cpus = Vec::new();
    for cpu in node
        .children()
        .filter(|child| child.name_without_address() == "cpu")
    {
        let affinity = match cells.regions(&cpu)?.as_slice() {
            [only] if only.start & !AFFINITY == 0 => only.start,
            _ => return Err(MachineError::Property("reg of a CPU")),
        };
        cpus.push(affinity);
    }
    cpus.sort_unstable();
    let distinct = cpus.windows(2).all(|pair| pair[0] != pair[1]);
    if cpus.first() != Some(&0) || !distinct {
        return Err(MachineError::Cpus);
    }
    Ok(cpus)
}

fn console<'a>(tree: &Fdt<'a>) -> Result<FdtNode<'a>, MachineError> {
    let missing = MachineError::Missing("/chosen/stdout-path");
    let text = |node: Option<FdtNode<'a>>, name: &str| -> Option<&'a str> {
        node?.property(name)?.value_as::<&'a str>().ok()
    };
    let path = text(tree.find_node("/chosen"), "stdout-path").ok_or(missing)?;
    // After a colon come the line's parameters.
    let path = path.split(':').next().unwrap_or_default();
    let path = if path.starts_with('/') {
        path
    } else {
        text(tree.find_node("/aliases"), path).ok_or(missing)?
    };
    tree.find_node(path)
        .filter(|node| node.is_compatible("arm,pl011"))
        .ok_or(MachineError::Missing("PL011 at stdout-path"))
}

fn gic(node: &FdtNode<'_>, cells: CellCounts) -> Result<Gic, MachineError> {
    let error = MachineError::Property("reg of the interrupt controller");
    let count = match node.property("#redistributor-regions") {
        None => 1,
        Some(property) => property.value_as::<u32>().map_err(|_| error)? as usize,
    };
    let regions = cells.regions(node)?;
    let (distributor, rest) = regions.split_first().ok_or(error)?;
    let redistributors = rest.get(..count).filter(|list| !list.is_empty());
    Ok(Gic {
        distributor: *distributor,
        redistributors: redistributors.ok_or(error)?.to_vec(),
    })
}

fn power_lines(root: &FdtNode<'_>, cells: CellCounts) -> Option<PowerLines> {
    let line = |what| -> Option<(u32, u8)> {
        let node = root.find_compatible(what).next()?;
        let [controller, line, _flags] = node.property("gpios")?.value_as::<[u32; 3]>().ok()?;
        // A PL061 has eight lines.
        Some((
            controller,
            u8::try_from(line).ok().filter(|line| *line < 8)?,
        ))
    };
    let (controller, off) = line("gpio-poweroff")?;
    let (same_controller, reset) = line("gpio-restart")?;
    let node = root.find_compatible("arm,pl061").find(|node| {
        controller == same_controller && node.phandle().ok().flatten() == Some(controller)
    })?;
    Some(PowerLines {
        controller: cells.regions(&node).ok()?.first()?.start,
        off,
        reset,
    })
}

#[cfg(test)]
mod tests;
