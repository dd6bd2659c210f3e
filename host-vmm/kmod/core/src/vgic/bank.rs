//! Registers that have a field for each interrupt. Distributor and `SGI_base` frames have them at
//! the same offsets; the former's are for SPIs, the latter's for SGIs and PPIs.

use super::interrupt::{Interrupt, PRIORITY_MASK, flag};
use super::{Effects, Source, Vgic};

/// A family of registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bank {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Configuration,
}

impl Bank {
    /// The family at an offset, and the offset of its first register.
    const fn at(offset: u32) -> Option<(Self, u32)> {
        Some(match offset {
            0x080..0x100 => (Self::Group, 0x080),
            0x100..0x180 => (Self::SetEnable, 0x100),
            0x180..0x200 => (Self::ClearEnable, 0x180),
            0x200..0x280 => (Self::SetPending, 0x200),
            0x280..0x300 => (Self::ClearPending, 0x280),
            0x300..0x380 => (Self::SetActive, 0x300),
            0x380..0x400 => (Self::ClearActive, 0x380),
            0x400..0x800 => (Self::Priority, 0x400),
            0xc00..0xd00 => (Self::Configuration, 0xc00),
            _ => return None,
        })
    }

    /// Bits of a field.
    const fn width(self) -> u32 {
        match self {
            Self::Priority => 8,
            Self::Configuration => 2,
            _ => 1,
        }
    }

    /// Whether an access of `size` bytes is one that the registers have.
    const fn has_size(self, size: usize) -> bool {
        size == 4 || size == 1 && matches!(self, Self::Priority)
    }

    /// The field of an interrupt.
    const fn field(self, interrupt: &Interrupt) -> u32 {
        match self {
            Self::Group => interrupt.is(flag::GROUP_1) as u32,
            Self::SetEnable | Self::ClearEnable => interrupt.is(flag::ENABLED) as u32,
            Self::SetPending | Self::ClearPending => interrupt.shows_pending() as u32,
            Self::SetActive | Self::ClearActive => interrupt.shows_active() as u32,
            Self::Priority => interrupt.priority as u32,
            Self::Configuration => (interrupt.is(flag::EDGE) as u32) << 1,
        }
    }

    /// Whether the list register of a running vCPU may know better.
    const fn may_be_stale(self) -> bool {
        matches!(
            self,
            Self::SetPending | Self::ClearPending | Self::SetActive | Self::ClearActive
        )
    }

    /// Whether a write of this field can change an interrupt.
    const fn is_written_by(self, field: u32) -> bool {
        match self {
            Self::Group | Self::Priority | Self::Configuration => true,
            _ => field != 0,
        }
    }
}

/// The interrupts and their fields in an access: INTIDs from the first, and how far to shift.
fn fields(bank: Bank, first: u32, offset: u32, size: usize) -> impl Iterator<Item = (u32, u32)> {
    let width = bank.width();
    let intid = (offset - first) * 8 / width;
    let count = size as u32 * 8 / width;
    (0..count).map(move |number| (intid + number, number * width))
}

impl Vgic {
    /// The read of a register with a field for each interrupt; zero at other offsets.
    pub(super) fn read_bank(
        &self,
        source: Source,
        offset: u32,
        size: usize,
        effects: &mut Effects,
    ) -> u64 {
        let Some((bank, first)) = Bank::at(offset).filter(|(bank, _)| bank.has_size(size)) else {
            return 0;
        };
        let mut value = 0;
        for (intid, shift) in fields(bank, first, offset, size) {
            if let Some(interrupt) = self.interrupt(source, intid) {
                value |= bank.field(interrupt) << shift;
                if let Some(holder) = interrupt.holder()
                    && bank.may_be_stale()
                {
                    effects.kick(holder);
                }
            }
        }
        u64::from(value)
    }

    /// The write of a register with a field for each interrupt; nothing at other offsets.
    pub(super) fn write_bank(
        &mut self,
        source: Source,
        offset: u32,
        size: usize,
        value: u64,
        effects: &mut Effects,
    ) {
        let Some((bank, first)) = Bank::at(offset).filter(|(bank, _)| bank.has_size(size)) else {
            return;
        };
        let mask = (1 << bank.width()) - 1;
        for (intid, shift) in fields(bank, first, offset, size) {
            let field = (value >> shift) as u32 & mask;
            if bank.is_written_by(field) {
                self.write_field(bank, source, intid, field, effects);
            }
        }
    }

    fn write_field(
        &mut self,
        bank: Bank,
        source: Source,
        intid: u32,
        field: u32,
        effects: &mut Effects,
    ) {
        if bank == Bank::ClearActive {
            self.end(source, intid, effects);
            return;
        }
        self.change(source, intid, effects, |interrupt| match bank {
            Bank::Group => interrupt.set(flag::GROUP_1, field != 0),
            Bank::SetEnable => interrupt.set(flag::ENABLED, true),
            Bank::ClearEnable => interrupt.set(flag::ENABLED, false),
            Bank::SetPending => interrupt.set(flag::LATCHED, true),
            Bank::ClearPending => interrupt.clear_pending(),
            Bank::SetActive => interrupt.set_active(),
            Bank::ClearActive => {}
            Bank::Priority => interrupt.priority = field as u8 & PRIORITY_MASK,
            // SGIs are edges, and what drives the PPIs are levels.
            Bank::Configuration => {
                if source == Source::Shared {
                    interrupt.set(flag::EDGE, field & 2 != 0);
                }
            }
        });
    }
}
