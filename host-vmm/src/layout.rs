//! Where things are in a guest's physical address space.
//!
//! | addresses | what |
//! |---|---|
//! | `0x0800_0000` | GIC distributor, 64 KiB |
//! | `0x0900_0000` | serial port (16550), a page |
//! | `0x0a00_0000` | 32 virtio-mmio slots, a page apart |
//! | `0x1000_0000` | GIC redistributors, 128 KiB for each vCPU; room for 512 |
//! | `0x8000_0000` | RAM |
//!
//! The address space is no wider than it has to be, and never less than 33 bits: its lower half
//! holds all of the above, because in a Realm that half is private and the upper one shared. A
//! Realm reaches devices through their aliases in the upper half ([`Layout::shared_bit`]); here
//! and in the device tree they have their addresses without that bit, and the guest adds it. The
//! width is part of a Realm's initial measurement, and so depends on the size of memory alone.
//! A narrow space starts at a table that every CPU has.

use crate::configuration::{CpuCount, MemorySize};

/// Granularity of RAM: what one entry of a level 2 table maps.
pub const BLOCK_BYTES: u64 = 2 << 20;
/// What is kept for the device tree. Linux maps no more than that.
pub const DEVICE_TREE_BYTES: u64 = BLOCK_BYTES;
/// Granularity of what is loaded.
pub const PAGE_BYTES: u64 = 4096;
/// Most RAM that a machine has. Its measurement as a Realm takes one hash for each 2 MiB.
pub const MAX_MEMORY_BYTES: u64 = 512 << 30;
/// Most vCPUs that a machine has: as many as Debian's kernels know.
pub const MAX_CPUS: u32 = 512;

/// Where the GIC's distributor is.
pub const GIC_DISTRIBUTOR: Range = Range::new(0x0800_0000, 64 << 10);
/// Where the GIC's redistributors begin.
pub const GIC_REDISTRIBUTORS_BASE: u64 = 0x1000_0000;
/// What each vCPU's redistributor takes.
pub const GIC_REDISTRIBUTOR_BYTES: u64 = 128 << 10;
/// Where the serial port is. Its eight registers are a byte each.
pub const SERIAL: Device = Device {
    range: Range::new(0x0900_0000, PAGE_BYTES),
    interrupt: Spi(0),
};
/// Where the first virtio-mmio slot is.
pub const VIRTIO_BASE: u64 = 0x0a00_0000;
/// Distance of two slots. A Realm shares whole pages, so that slots do not share one.
pub const VIRTIO_STRIDE: u64 = PAGE_BYTES;
/// Registers and configuration space of a slot.
pub const VIRTIO_BYTES: u64 = 0x200;
/// Virtio-mmio slots.
pub const VIRTIO_SLOTS: usize = 32;
/// The SPI of the first slot; the others follow.
pub const VIRTIO_FIRST_SPI: u32 = 16;
/// Interrupts of the machine: SGIs, PPIs and SPIs, as `KVM_DEV_ARM_VGIC_GRP_NR_IRQS` counts them.
pub const INTERRUPTS: u32 = 96;
/// Where RAM begins.
pub const RAM_BASE: u64 = 0x8000_0000;
/// The least width of the address space, in bits: its lower half ends at 4 GiB.
pub const MIN_IPA_BITS: u8 = 33;

/// A range of guest physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Range {
    /// The range of `size` bytes from `base`. The two must not add up to more than 64 bits.
    pub const fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    /// The first address behind it.
    pub const fn end(self) -> u64 {
        self.base + self.size
    }

    /// Whether an address is in it.
    pub const fn contains(self, address: u64) -> bool {
        address >= self.base && address - self.base < self.size
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.base < other.end() && other.base < self.end()
    }
}

/// A shared peripheral interrupt, counted from 0: the device tree's number, and KVM's `gsi`.
/// All of them are edge-triggered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spi(pub u32);

impl Spi {
    /// The GIC's number.
    pub const fn intid(self) -> u32 {
        self.0 + 32
    }
}

/// A device with registers and an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its registers, without the shared bit.
    pub range: Range,
    /// Its interrupt.
    pub interrupt: Spi,
}

/// The affinity fields of a vCPU's `MPIDR_EL1`, which PSCI calls and the device tree name it by:
/// four bits of the number in Aff0, eight in Aff1, the rest in Aff2, as KVM and RMM have it.
pub const fn cpu_affinity(number: u32) -> u32 {
    (number & 0xf) | (number >> 4 & 0xff) << 8 | (number >> 12 & 0xff) << 16
}

/// The address space of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Width of the address space, in bits.
    pub ipa_bits: u8,
    /// RAM.
    pub ram: Range,
    /// The GIC's redistributors.
    pub gic_redistributors: Range,
}

impl Layout {
    /// The address space of a machine with this much memory and this many vCPUs.
    pub const fn new(memory: MemorySize, cpus: CpuCount) -> Self {
        let ram = Range::new(RAM_BASE, memory.bytes());
        let mut ipa_bits = MIN_IPA_BITS;
        while ram.end() > 1 << (ipa_bits - 1) {
            ipa_bits += 1;
        }
        Self {
            ipa_bits,
            ram,
            gic_redistributors: Range::new(
                GIC_REDISTRIBUTORS_BASE,
                GIC_REDISTRIBUTOR_BYTES * cpus.get() as u64,
            ),
        }
    }

    /// The bit that makes an address of a Realm a shared one.
    pub const fn shared_bit(&self) -> u64 {
        1 << (self.ipa_bits - 1)
    }

    /// A virtio-mmio slot; `None` from [`VIRTIO_SLOTS`] on.
    pub fn virtio_slot(&self, slot: usize) -> Option<Device> {
        let number = u32::try_from(slot).ok().filter(|_| slot < VIRTIO_SLOTS)?;
        Some(Device {
            range: Range::new(
                VIRTIO_BASE + VIRTIO_STRIDE * u64::from(number),
                VIRTIO_BYTES,
            ),
            interrupt: Spi(VIRTIO_FIRST_SPI + number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(memory: u64, cpus: u32) -> Layout {
        Layout::new(
            MemorySize::new(memory).unwrap(),
            CpuCount::new(cpus).unwrap(),
        )
    }

    /// All that a machine has, by itself.
    fn ranges(layout: &Layout) -> Vec<Range> {
        let slots = (0..VIRTIO_SLOTS).map(|slot| layout.virtio_slot(slot).unwrap().range);
        slots
            .chain([
                GIC_DISTRIBUTOR,
                SERIAL.range,
                layout.gic_redistributors,
                layout.ram,
            ])
            .collect()
    }

    #[test]
    fn nothing_overlaps_and_all_is_private() {
        for memory in [BLOCK_BYTES, 512 << 20, 2 << 30, 3 << 30, MAX_MEMORY_BYTES] {
            for cpus in [1, 2, 16, 17, MAX_CPUS] {
                let layout = layout(memory, cpus);
                let ranges = ranges(&layout);
                for (index, range) in ranges.iter().enumerate() {
                    assert!(range.end() <= layout.shared_bit(), "{range:x?}");
                    for other in &ranges[index + 1..] {
                        assert!(!range.overlaps(*other), "{range:x?} {other:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_width_is_the_least_that_will_do() {
        assert_eq!(layout(BLOCK_BYTES, 1).ipa_bits, 33);
        assert_eq!(layout(2 << 30, 1).ipa_bits, 33);
        assert_eq!(layout((2 << 30) + BLOCK_BYTES, 1).ipa_bits, 34);
        assert_eq!(layout(6 << 30, 1).ipa_bits, 34);
        assert_eq!(layout(MAX_MEMORY_BYTES, 1).ipa_bits, 41);
    }

    #[test]
    fn interrupts_are_distinct_and_within_what_the_gic_has() {
        let layout = layout(512 << 20, 1);
        let slots = (0..VIRTIO_SLOTS).map(|slot| layout.virtio_slot(slot).unwrap().interrupt);
        let mut numbers: Vec<_> = slots.chain([SERIAL.interrupt]).map(Spi::intid).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), VIRTIO_SLOTS + 1);
        assert!(
            numbers
                .iter()
                .all(|number| (32..INTERRUPTS).contains(number))
        );
        assert!(INTERRUPTS.is_multiple_of(32));
        assert_eq!(layout.virtio_slot(VIRTIO_SLOTS), None);
        assert_eq!(layout.virtio_slot(usize::MAX), None);
    }

    #[test]
    fn affinities_are_those_of_kvm() {
        let numbers = [0, 1, 15, 16, 17, 255, 256, 511];
        let affinities = [0, 1, 0xf, 0x100, 0x101, 0xf0f, 0x1000, 0x1f0f];
        assert_eq!(numbers.map(cpu_affinity), affinities);
    }

    #[test]
    fn ranges_know_their_ends() {
        let range = Range::new(0x1000, 0x1000);
        assert!(range.contains(0x1000) && range.contains(0x1fff));
        assert!(!range.contains(0xfff) && !range.contains(0x2000));
        assert!(!range.overlaps(Range::new(0x2000, 1)));
        assert!(range.overlaps(Range::new(0x1fff, 1)));
    }
}
