//! The virtual interrupt controller: what the host may ask of it (DEN0137 section A6; reference,
//! section 7.4).

use rmm_abi::rmi::run::{LIST_REGISTERS, gic_control};

use crate::features::CpuIdentification;

/// What the GIC of the CPUs can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GicLimits {
    list_registers: usize,
    /// Bits of a priority that are not there.
    priority_mask: u64,
    /// Largest interrupt identifier.
    largest_identifier: u64,
    /// Extended PPIs and SPIs exist.
    extended_range: bool,
    /// Bits of `ICH_HCR_EL2` that are set while a REC runs.
    running: u64,
}

/// `ICH_HCR_EL2.En`.
const ENABLE: u64 = 1 << 0;
/// `ICH_HCR_EL2.DVIM`: interrupts that hardware would inject by itself stay out.
const MASK_DIRECT_INJECTION: u64 = 1 << 15;

impl GicLimits {
    /// The limits by `ICH_VTR_EL2` and `ICC_CTLR_EL1`.
    pub const fn new(cpu: &CpuIdentification) -> Self {
        let vtr = cpu.ich_vtr;
        let priority_bits = (vtr >> 29 & 7) + 1;
        let has_direct_injection_mask = vtr >> 18 & 1 != 0;
        Self {
            list_registers: (vtr & 0xf) as usize + 1,
            priority_mask: (1 << (8 - priority_bits)) - 1,
            // IDbits: 16 or 24 bits.
            largest_identifier: match vtr >> 23 & 7 {
                0 => 0xffff,
                _ => 0xff_ffff,
            },
            extended_range: cpu.icc_ctlr >> 19 & 1 != 0,
            running: if has_direct_injection_mask {
                ENABLE | MASK_DIRECT_INJECTION
            } else {
                ENABLE
            },
        }
    }

    /// Whether the host may have these list registers and this control.
    pub(crate) fn accept(&self, control: u64, list_registers: &[u64; LIST_REGISTERS]) -> bool {
        if control & !gic_control::ALL != 0 {
            return false;
        }
        let list_registers = &list_registers[..self.list_registers];
        list_registers.iter().enumerate().all(|(number, &entry)| {
            !is_in_use(entry)
                || self.is_valid(entry)
                    && !list_registers[..number]
                        .iter()
                        .any(|&other| is_in_use(other) && identifier(other) == identifier(entry))
        })
    }

    /// Whether an entry that is in use is one that a REC may have.
    const fn is_valid(&self, entry: u64) -> bool {
        const HARDWARE: u64 = 1 << 61;
        /// NMI, which Realms are not shown, and what has no meaning.
        const RESERVED: u64 = 0b1111 << 56 | 0b111 << 45;
        /// Priority down to the identifier, without the bits that follow.
        const PHYSICAL_IDENTIFIER: u64 = 0x1fff << 32;
        const END_OF_INTERRUPT: u64 = 1 << 41;
        if entry & (HARDWARE | RESERVED) != 0
            || entry & PHYSICAL_IDENTIFIER & !END_OF_INTERRUPT != 0
            || entry >> 48 & self.priority_mask != 0
        {
            return false;
        }
        match identifier(entry) {
            0..=1019 => true,
            1056..=1119 | 4096..=5119 => self.extended_range,
            8192.. => identifier(entry) <= self.largest_identifier,
            _ => false,
        }
    }

    /// `ICH_HCR_EL2` while a REC runs.
    pub(crate) const fn control(&self, host: u64) -> u64 {
        host | self.running
    }
}

/// Whether the state of an entry is other than invalid.
const fn is_in_use(entry: u64) -> bool {
    entry >> 62 != 0
}

/// vINTID.
const fn identifier(entry: u64) -> u64 {
    entry & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const PENDING: u64 = 1 << 62;

    fn limits(vtr: u64) -> GicLimits {
        GicLimits::new(&CpuIdentification {
            ich_vtr: vtr,
            ..CpuIdentification::default()
        })
    }

    /// Four list registers, five bits of priority, 16 bits of identifier.
    fn usual() -> GicLimits {
        limits(4 << 29 | 3)
    }

    fn accepts(limits: &GicLimits, entry: u64) -> bool {
        let mut list = [0; LIST_REGISTERS];
        list[1] = entry;
        limits.accept(0, &list)
    }

    #[test]
    fn bits_of_the_host() {
        for bit in 0..64 {
            let allowed = matches!(bit, 1..=7 | 14);
            let accepted = usual().accept(1 << bit, &[0; LIST_REGISTERS]);
            assert_eq!(accepted, allowed, "bit {bit}");
        }
    }

    #[test]
    fn identifiers() {
        let extended = GicLimits {
            extended_range: true,
            ..usual()
        };
        let long = limits(4 << 29 | 1 << 23 | 3);
        for (id, plain, with_extension, with_24_bits) in [
            (0, true, true, true),
            (1019, true, true, true),
            (1020, false, false, false),
            (1055, false, false, false),
            (1056, false, true, false),
            (1119, false, true, false),
            (1120, false, false, false),
            (4096, false, true, false),
            (5119, false, true, false),
            (5120, false, false, false),
            (8191, false, false, false),
            (8192, true, true, true),
            (0xffff, true, true, true),
            (0x1_0000, false, false, true),
            (0xff_ffff, false, false, true),
            (0x100_0000, false, false, false),
        ] {
            assert_eq!(accepts(&usual(), PENDING | id), plain, "{id}");
            assert_eq!(accepts(&extended, PENDING | id), with_extension, "{id}");
            assert_eq!(accepts(&long, PENDING | id), with_24_bits, "{id}");
        }
    }

    #[test]
    fn fields() {
        for bit in 32..62 {
            let priority = (48..56).contains(&bit);
            let allowed = match bit {
                32..=47 => bit == 41,
                56..=59 | 61 => false,
                _ => !priority || bit >= 51,
            };
            assert_eq!(accepts(&usual(), PENDING | 1 << bit), allowed, "bit {bit}");
            assert!(accepts(&usual(), 1 << bit), "an entry that is not in use");
        }
    }

    #[test]
    fn direct_injection_is_masked_where_it_can_be() {
        const IDENTIFIERS_OF_24_BITS: u64 = 1 << 23;
        const DVIM: u64 = 1 << 18;
        for identifiers in [0, IDENTIFIERS_OF_24_BITS] {
            assert_eq!(limits(identifiers).control(2), 0x3);
            assert_eq!(limits(identifiers | DVIM).control(2), 0x8003);
        }
    }

    #[test]
    fn two_entries_for_one_interrupt() {
        let mut list = [0; LIST_REGISTERS];
        list[0] = PENDING | 0x1b;
        list[3] = 2 << 62 | 0x1b;
        assert!(!usual().accept(0, &list));
        list[3] = 27;
        assert!(usual().accept(0, &list));
        list[3] = 0;
        list[4] = PENDING | 0x1b;
        assert!(usual().accept(0, &list), "a register that is not there");
    }
}
