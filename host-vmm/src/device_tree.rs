//! The device tree of a guest.
//!
//! It says what the layout and the configuration say, and nothing about the host. Nodes and
//! properties are those that Linux documents in `Documentation/devicetree/bindings`.

use thiserror::Error;
use vm_fdt::FdtWriter;

use crate::configuration::Configuration;
use crate::layout::{
    DEVICE_TREE_BYTES, Device, GIC_DISTRIBUTOR, Layout, Range, SERIAL, Spi, cpu_affinity,
};

/// Longest command line that arm64 kernels take, with the zero byte behind it.
pub const MAX_COMMAND_LINE_BYTES: usize = 2048;

/// Bytes of the seeds of an ordinary machine.
const RNG_SEED_BYTES: usize = 32;
const KASLR_SEED_BYTES: usize = 8;

/// The interrupt controller's number, by which other nodes name it.
const GIC_PHANDLE: u32 = 1;

/// Kinds and triggers of interrupts, first and last cell of an interrupt.
const INTERRUPT_SPI: u32 = 0;
const INTERRUPT_PPI: u32 = 1;
const TRIGGER_EDGE_RISING: u32 = 1;
const TRIGGER_LEVEL_HIGH: u32 = 4;

/// PPIs of the generic timer, counted from 0: secure, non-secure, virtual, hypervisor.
const TIMER_PPIS: [u32; 4] = [13, 14, 11, 10];

/// What the serial port's clock would be if it had one: 16 × 115200 Hz.
const SERIAL_CLOCK_HZ: u32 = 1_843_200;

/// Why there can be no device tree.
#[derive(Clone, PartialEq, Eq, Error, Debug)]
pub enum DeviceTreeError {
    /// More than the kernel takes.
    #[error(
        "the kernel's command line is too long: {0} bytes, and it takes at most {max}",
        max = MAX_COMMAND_LINE_BYTES - 1
    )]
    CommandLineTooLong(usize),
    /// A byte that ends strings.
    #[error("the kernel's command line has a zero byte in it")]
    CommandLineZero,
    /// More devices than slots.
    #[error("more virtio devices than slots")]
    TooManyDevices,
    /// Larger than what is kept for it.
    #[error("the device tree is too large: {0} bytes")]
    TooLarge(usize),
    /// The writer refuses something.
    #[error("the device tree cannot be written: {0}")]
    Writer(String),
}

impl From<vm_fdt::Error> for DeviceTreeError {
    fn from(error: vm_fdt::Error) -> Self {
        Self::Writer(error.to_string())
    }
}

/// Random numbers from which an ordinary machine's kernel begins.
#[derive(Clone, PartialEq, Eq)]
pub struct Seeds {
    rng: [u8; RNG_SEED_BYTES],
    kaslr: [u8; KASLR_SEED_BYTES],
}

impl Seeds {
    /// New ones.
    ///
    /// # Errors
    ///
    /// If the system has none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut seeds = Self {
            rng: [0; RNG_SEED_BYTES],
            kaslr: [0; KASLR_SEED_BYTES],
        };
        getrandom::fill(&mut seeds.rng)?;
        getrandom::fill(&mut seeds.kaslr)?;
        Ok(seeds)
    }
}

/// The device tree of a machine, as bytes.
///
/// `initrd` is where the bytes of the initial RAM disk are. A Realm must have no seeds: they would
/// be different, and measured, at each start.
///
/// # Errors
///
/// If the command line is not one, or the tree becomes too large.
pub fn build(
    configuration: &Configuration,
    layout: &Layout,
    initrd: Option<Range>,
    seeds: Option<&Seeds>,
) -> Result<Vec<u8>, DeviceTreeError> {
    let command_line = configuration.command_line.as_str();
    if command_line.len() >= MAX_COMMAND_LINE_BYTES {
        return Err(DeviceTreeError::CommandLineTooLong(command_line.len()));
    }
    if command_line.contains('\0') {
        return Err(DeviceTreeError::CommandLineZero);
    }
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "linux,dummy-virt")?;
    tree.property_string("model", "host-vmm")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_u32("interrupt-parent", GIC_PHANDLE)?;

    chosen(&mut tree, command_line, initrd, seeds)?;
    memory(&mut tree, layout)?;
    cpus(&mut tree, configuration.cpus.get())?;
    psci(&mut tree, configuration.realm.is_some())?;
    timer(&mut tree)?;
    interrupt_controller(&mut tree, layout)?;
    serial(&mut tree)?;
    for (slot, _) in configuration.virtio_devices().enumerate() {
        let device = layout.virtio_slot(slot);
        virtio(&mut tree, device.ok_or(DeviceTreeError::TooManyDevices)?)?;
    }

    tree.end_node(root)?;
    let bytes = tree.finish()?;
    if bytes.len() as u64 > DEVICE_TREE_BYTES {
        return Err(DeviceTreeError::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

fn chosen(
    tree: &mut FdtWriter,
    command_line: &str,
    initrd: Option<Range>,
    seeds: Option<&Seeds>,
) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node("chosen")?;
    tree.property_string("bootargs", command_line)?;
    tree.property_string("stdout-path", &format!("/{}", name("serial", SERIAL.range)))?;
    if let Some(initrd) = initrd {
        tree.property_u64("linux,initrd-start", initrd.base)?;
        tree.property_u64("linux,initrd-end", initrd.end())?;
    }
    if let Some(seeds) = seeds {
        tree.property("kaslr-seed", &seeds.kaslr)?;
        tree.property("rng-seed", &seeds.rng)?;
    }
    tree.end_node(node)?;
    Ok(())
}

fn memory(tree: &mut FdtWriter, layout: &Layout) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node(&name("memory", layout.ram))?;
    tree.property_string("device_type", "memory")?;
    registers(tree, &[layout.ram])?;
    tree.end_node(node)?;
    Ok(())
}

fn cpus(tree: &mut FdtWriter, count: u32) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    for number in 0..count {
        let affinity = cpu_affinity(number);
        let node = tree.begin_node(&format!("cpu@{affinity:x}"))?;
        tree.property_string("device_type", "cpu")?;
        tree.property_string("compatible", "arm,armv8")?;
        tree.property_string("enable-method", "psci")?;
        tree.property_u32("reg", affinity)?;
        tree.end_node(node)?;
    }
    tree.end_node(node)?;
    Ok(())
}

/// The RMM answers PSCI (and RSI, for which Linux looks only if this says so) by SMC; KVM by HVC.
fn psci(tree: &mut FdtWriter, realm: bool) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node("psci")?;
    let versions = ["arm,psci-1.0", "arm,psci-0.2"].map(String::from);
    tree.property_string_list("compatible", versions.to_vec())?;
    tree.property_string("method", if realm { "smc" } else { "hvc" })?;
    tree.end_node(node)?;
    Ok(())
}

fn timer(tree: &mut FdtWriter) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node("timer")?;
    tree.property_string("compatible", "arm,armv8-timer")?;
    // It runs while vCPUs are idle.
    tree.property_null("always-on")?;
    let interrupts = TIMER_PPIS.map(|ppi| [INTERRUPT_PPI, ppi, TRIGGER_LEVEL_HIGH]);
    tree.property_array_u32("interrupts", interrupts.as_flattened())?;
    tree.end_node(node)?;
    Ok(())
}

fn interrupt_controller(tree: &mut FdtWriter, layout: &Layout) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node(&name("interrupt-controller", GIC_DISTRIBUTOR))?;
    tree.property_string("compatible", "arm,gic-v3")?;
    tree.property_null("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 3)?;
    tree.property_u32("#address-cells", 0)?;
    tree.property_u32("#redistributor-regions", 1)?;
    registers(tree, &[GIC_DISTRIBUTOR, layout.gic_redistributors])?;
    tree.property_phandle(GIC_PHANDLE)?;
    tree.end_node(node)?;
    Ok(())
}

fn serial(tree: &mut FdtWriter) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node(&name("serial", SERIAL.range))?;
    tree.property_string("compatible", "ns16550a")?;
    tree.property_u32("clock-frequency", SERIAL_CLOCK_HZ)?;
    registers(tree, &[SERIAL.range])?;
    interrupt(tree, SERIAL.interrupt)?;
    tree.end_node(node)?;
    Ok(())
}

fn virtio(tree: &mut FdtWriter, device: Device) -> Result<(), DeviceTreeError> {
    let node = tree.begin_node(&name("virtio_mmio", device.range))?;
    tree.property_string("compatible", "virtio,mmio")?;
    // Devices are programs on the same CPUs.
    tree.property_null("dma-coherent")?;
    registers(tree, &[device.range])?;
    interrupt(tree, device.interrupt)?;
    tree.end_node(node)?;
    Ok(())
}

fn registers(tree: &mut FdtWriter, ranges: &[Range]) -> Result<(), DeviceTreeError> {
    let cells: Vec<u64> = ranges
        .iter()
        .flat_map(|range| [range.base, range.size])
        .collect();
    tree.property_array_u64("reg", &cells)?;
    Ok(())
}

fn interrupt(tree: &mut FdtWriter, spi: Spi) -> Result<(), DeviceTreeError> {
    let cells = [INTERRUPT_SPI, spi.0, TRIGGER_EDGE_RISING];
    tree.property_array_u32("interrupts", &cells)?;
    Ok(())
}

/// A node's name with its address.
fn name(kind: &str, range: Range) -> String {
    format!("{kind}@{:x}", range.base)
}

#[cfg(test)]
mod tests;
