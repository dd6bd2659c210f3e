//! The three ways to name a REC: its number, the host's MPIDR, the MPIDR that the Realm sees.

/// Index of the REC with an MPIDR in the host's format: four bits of affinity 0, eight of each
/// other (DEN0137 "`RmiRecMpidr`"). Bits 7:4 and above 31 should be zero and are ignored.
pub(crate) const fn index_of_mpidr(mpidr: u64) -> u64 {
    (mpidr & 0xf) | (mpidr >> 8 & 0xff_ffff) << 4
}

/// What `MPIDR_EL1` of a REC reads: the affinities and bit 31.
pub(crate) const fn mpidr_el1(mpidr: u64) -> u64 {
    1 << 31 | mpidr & 0xff_ff0f | (mpidr >> 24 & 0xff) << 32
}

/// Index of the REC that a Realm names by the affinities of `MPIDR_EL1`; `None` when that cannot be
/// a REC.
pub(crate) const fn index_of_mpidr_el1(affinities: u64) -> Option<u64> {
    const AFFINITIES: u64 = 0xff_00ff_ff0f;
    if affinities & !AFFINITIES != 0 {
        return None;
    }
    Some(index_of_mpidr(
        affinities & 0xff_ff0f | (affinities >> 32) << 24,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_through_the_affinities() {
        for (mpidr, index) in [
            (0, 0),
            (0xf, 15),
            (0x100, 16),
            (0x10f, 31),
            (0xff0f, 4095),
            (0x1_0000, 4096),
            (0x100_0000, 1 << 20),
        ] {
            assert_eq!(index_of_mpidr(mpidr), index, "{mpidr:#x}");
            let seen = mpidr_el1(mpidr) & !(1 << 31);
            assert_eq!(index_of_mpidr_el1(seen), Some(index), "{mpidr:#x}");
        }
    }

    #[test]
    fn what_a_realm_cannot_mean() {
        for affinities in [0x10, 0x80, 1 << 24, 1 << 31, 1 << 40, u64::MAX] {
            assert_eq!(index_of_mpidr_el1(affinities), None, "{affinities:#x}");
        }
    }

    #[test]
    fn what_a_realm_sees() {
        assert_eq!(mpidr_el1(0x1203_0405), 0x12_8003_0405);
    }
}
