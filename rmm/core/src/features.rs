//! What the CPU offers to Realms, from its identification registers to the feature register of
//! the RMI.

use rmm_abi::rmi::FeatureRegister0;

/// A Realm has at most 2^10 − 1 RECs.
const MAX_RECS_ORDER: u8 = 10;
/// RECs that a Realm may have.
pub(crate) const MAX_RECS: u64 = (1 << MAX_RECS_ORDER) - 1;

/// The identification registers that decide what Realms can be offered, as the CPU reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuIdentification {
    /// `ID_AA64MMFR0_EL1`.
    pub mmfr0: u64,
    /// `ID_AA64MMFR1_EL1`.
    pub mmfr1: u64,
    /// `ID_AA64PFR0_EL1`.
    pub pfr0: u64,
    /// `ID_AA64DFR0_EL1`.
    pub dfr0: u64,
    /// `PMCR_EL0`; zero without a PMU.
    pub pmcr: u64,
    /// `ICH_VTR_EL2`; zero without the system registers of a GIC.
    pub ich_vtr: u64,
    /// `ICC_CTLR_EL1`; zero without the system registers of a GIC.
    pub icc_ctlr: u64,
    /// Longest SVE vector at EL2, in bits; zero without SVE.
    pub sve_vector_bits: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the mask leaves at most eight bits"
)]
const fn field(register: u64, shift: u32, width: u32) -> u8 {
    assert!(width <= 8);
    ((register >> shift) & ((1 << width) - 1)) as u8
}

impl CpuIdentification {
    /// Bits of a physical address that the CPU implements.
    pub const fn physical_address_bits(&self) -> u8 {
        match field(self.mmfr0, 0, 4) {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            5 => 48,
            // 52 bits, or 56, of which 4 KiB granules reach 52.
            _ => 52,
        }
    }

    /// Whether stage 2 translates 52-bit addresses with 4 KiB granules (`FEAT_LPA2`).
    pub const fn lpa2(&self) -> bool {
        match field(self.mmfr0, 40, 4) {
            // Stage 2 does as stage 1 does.
            0 => field(self.mmfr0, 28, 4) == 1,
            granule_4k => granule_4k == 3,
        }
    }

    /// Whether the CPU has the system registers of a GIC, version 3 or 4.
    pub const fn has_gic_registers(&self) -> bool {
        field(self.pfr0, 24, 4) != 0
    }

    /// Whether the CPU has SVE.
    pub const fn has_sve(&self) -> bool {
        field(self.pfr0, 32, 4) != 0
    }

    /// Whether the CPU has a performance monitor that follows the architecture.
    pub const fn has_pmu(&self) -> bool {
        !matches!(field(self.dfr0, 8, 4), 0 | 0xf)
    }

    /// Whether this CPU can run what another one offers to Realms: at least as much of everything, and the
    /// same priorities and identifiers of interrupts.
    pub const fn covers(&self, other: &Self) -> bool {
        const fn at_least(mine: Option<u8>, others: Option<u8>) -> bool {
            match (mine, others) {
                (_, None) => true,
                (Some(mine), Some(others)) => mine >= others,
                (None, Some(_)) => false,
            }
        }
        /// `ICH_VTR_EL2`: bits of priorities, of preemption levels and of identifiers.
        const INTERRUPT_FORMAT: u64 = 0x1ff << 23;
        /// `ICC_CTLR_EL1.ExtRange`.
        const EXTENDED_RANGE: u64 = 1 << 19;
        /// `ID_AA64MMFR1_EL1.VMIDBits`.
        const VMID_BITS: u64 = 0xf << 4;
        let (mine, others) = (self.feature_register_0(), other.feature_register_0());
        mine.ipa_width >= others.ipa_width
            && (self.mmfr1 ^ other.mmfr1) & VMID_BITS == 0
            && (mine.lpa2 || !others.lpa2)
            && at_least(mine.sve_vector_length, others.sve_vector_length)
            && mine.breakpoints >= others.breakpoints
            && mine.watchpoints >= others.watchpoints
            && at_least(mine.pmu_counters, others.pmu_counters)
            && mine.gic_list_registers >= others.gic_list_registers
            && (self.has_gic_registers() || !other.has_gic_registers())
            && (self.ich_vtr ^ other.ich_vtr) & INTERRUPT_FORMAT == 0
            && (self.icc_ctlr ^ other.icc_ctlr) & EXTENDED_RANGE == 0
    }

    /// Feature register 0 of an RMM on this CPU.
    pub const fn feature_register_0(&self) -> FeatureRegister0 {
        let lpa2 = self.lpa2();
        let address_limit = if lpa2 { 52 } else { 48 };
        let address_bits = self.physical_address_bits();
        FeatureRegister0 {
            ipa_width: if address_bits < address_limit {
                address_bits
            } else {
                address_limit
            },
            lpa2,
            sve_vector_length: if self.has_sve() && self.sve_vector_bits >= 128 {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "at most 2048 / 128 - 1 = 15"
                )]
                Some((self.sve_vector_bits / 128 - 1) as u8 & 0xf)
            } else {
                None
            },
            // Of more than 16, which have their number in another register, the RMM switches 16.
            breakpoints: field(self.dfr0, 12, 4),
            watchpoints: field(self.dfr0, 20, 4),
            pmu_counters: if self.has_pmu() {
                Some(field(self.pmcr, 11, 5))
            } else {
                None
            },
            sha_256: true,
            sha_512: true,
            gic_list_registers: field(self.ich_vtr, 0, 5) & 0xf,
            max_recs_order: MAX_RECS_ORDER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: CpuIdentification = CpuIdentification {
        mmfr0: 5,
        mmfr1: 0,
        pfr0: 0,
        dfr0: 5 << 12 | 3 << 20,
        pmcr: 6 << 11,
        ich_vtr: 3,
        icc_ctlr: 0,
        sve_vector_bits: 0,
    };

    #[test]
    fn a_plain_cpu() {
        let features = PLAIN.feature_register_0();
        assert_eq!(features.ipa_width, 48);
        assert!(!features.lpa2);
        assert_eq!(features.sve_vector_length, None);
        assert_eq!((features.breakpoints, features.watchpoints), (5, 3));
        assert_eq!(features.pmu_counters, None);
        assert_eq!(features.gic_list_registers, 3);
        assert_eq!(features.word() >> 42, 0);
    }

    #[test]
    fn ipa_width_follows_the_narrower_of_address_size_and_translation() {
        for (range, bits) in [
            (0, 32),
            (1, 36),
            (2, 40),
            (3, 42),
            (4, 44),
            (5, 48),
            (6, 48),
            (7, 48),
        ] {
            let cpu = CpuIdentification {
                mmfr0: range,
                ..PLAIN
            };
            assert_eq!(cpu.feature_register_0().ipa_width, bits, "PARange {range}");
        }
        let stage_2 = CpuIdentification {
            mmfr0: 6 | 3 << 40,
            ..PLAIN
        };
        assert_eq!(
            (stage_2.lpa2(), stage_2.feature_register_0().ipa_width),
            (true, 52)
        );
        let as_stage_1 = CpuIdentification {
            mmfr0: 6 | 1 << 28,
            ..PLAIN
        };
        assert_eq!(
            (as_stage_1.lpa2(), as_stage_1.feature_register_0().ipa_width),
            (true, 52)
        );
        let stage_1_only = CpuIdentification {
            mmfr0: 6 | 1 << 28 | 2 << 40,
            ..PLAIN
        };
        assert_eq!(
            (
                stage_1_only.lpa2(),
                stage_1_only.feature_register_0().ipa_width
            ),
            (false, 48)
        );
    }

    #[test]
    fn sve_needs_the_feature_and_a_length() {
        let sve = CpuIdentification {
            pfr0: 1 << 32,
            sve_vector_bits: 512,
            ..PLAIN
        };
        assert_eq!(sve.feature_register_0().sve_vector_length, Some(3));
        let hidden = CpuIdentification {
            sve_vector_bits: 512,
            ..PLAIN
        };
        assert_eq!(hidden.feature_register_0().sve_vector_length, None);
        let lengthless = CpuIdentification {
            pfr0: 1 << 32,
            ..PLAIN
        };
        assert_eq!(lengthless.feature_register_0().sve_vector_length, None);
    }

    #[test]
    fn a_cpu_must_not_have_less_than_the_first() {
        assert!(PLAIN.covers(&PLAIN));
        let more = CpuIdentification {
            mmfr0: 6 | 3 << 40,
            pfr0: 1 << 32 | 1 << 24,
            dfr0: 6 << 12 | 4 << 20 | 4 << 8,
            pmcr: 8 << 11,
            ich_vtr: 5,
            sve_vector_bits: 256,
            ..PLAIN
        };
        assert!(more.covers(&PLAIN) && !PLAIN.covers(&more));
        for other in [
            CpuIdentification { mmfr0: 5, ..more },
            CpuIdentification {
                mmfr1: 2 << 4,
                ..more
            },
            CpuIdentification {
                sve_vector_bits: 128,
                ..more
            },
            CpuIdentification {
                pfr0: 1 << 32,
                ..more
            },
            CpuIdentification {
                dfr0: 5 << 12 | 4 << 20 | 4 << 8,
                ..more
            },
            CpuIdentification {
                dfr0: 6 << 12 | 3 << 20 | 4 << 8,
                ..more
            },
            CpuIdentification {
                dfr0: 6 << 12 | 4 << 20,
                ..more
            },
            CpuIdentification {
                pmcr: 7 << 11,
                ..more
            },
            CpuIdentification { ich_vtr: 4, ..more },
            CpuIdentification {
                ich_vtr: 1 << 23 | 5,
                ..more
            },
            CpuIdentification {
                ich_vtr: 1 << 29 | 5,
                ..more
            },
            CpuIdentification {
                icc_ctlr: 1 << 19,
                ..more
            },
        ] {
            assert!(!other.covers(&more), "{other:x?}");
        }
    }

    #[test]
    fn pmu_counters() {
        for version in 1..15 {
            let cpu = CpuIdentification {
                dfr0: version << 8,
                ..PLAIN
            };
            assert_eq!(cpu.feature_register_0().pmu_counters, Some(6));
        }
        let own_kind = CpuIdentification {
            dfr0: 15 << 8,
            ..PLAIN
        };
        assert_eq!(own_kind.feature_register_0().pmu_counters, None);
    }
}
