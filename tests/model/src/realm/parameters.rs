//! The structures that the host passes (reference, section 6).

use rmm_abi::rmi::{FeatureRegister0, HashAlgorithm};

use super::shape::Shape;
use super::world::Limits;

/// Fields of `RmiRealmParams` that are measured: offset and length.
pub(super) const MEASURED_OF_REALM: [(usize, usize); 7] = [
    (0, 8),
    (0x8, 1),
    (0x10, 1),
    (0x18, 1),
    (0x20, 1),
    (0x28, 1),
    (0x30, 1),
];

/// Fields of `RmiRecParams` that are measured.
pub(super) const MEASURED_OF_REC: [(usize, usize); 3] = [(0, 8), (0x200, 8), (0x300, 64)];

/// A structure as bytes.
#[derive(Debug)]
pub(super) struct Page(pub(super) [u8; 0x1000]);

impl Page {
    pub(super) fn u64(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[offset..offset + 8]);
        u64::from_le_bytes(bytes)
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::try_from(self.u64(offset) & 0xffff_ffff).expect("32 bits")
    }
}

/// `RmiRealmParams`, as far as it makes sense.
#[derive(Debug)]
pub(super) struct RealmParameters {
    pub(super) shape: Shape,
    pub(super) vmid: u16,
    pub(super) hash_algorithm: HashAlgorithm,
}

impl RealmParameters {
    /// The parameters; `None` when anything in them is wrong.
    pub(super) fn read(page: &Page, limits: &Limits) -> Option<Self> {
        let FeatureRegister0 {
            ipa_width,
            lpa2: offers_lpa2,
            sve_vector_length,
            breakpoints,
            watchpoints,
            pmu_counters,
            sha_256,
            sha_512,
            ..
        } = limits.features;
        let flags = page.u64(0);
        let (lpa2, sve, pmu) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        let byte = |offset: usize| page.0[offset];

        let width = byte(0x8);
        let sve_fits = sve_vector_length.is_some_and(|longest| byte(0x10) <= longest);
        let pmu_fits = pmu_counters.is_some_and(|most| byte(0x28) <= most);
        let hash_algorithm = match byte(0x30) {
            0 if sha_256 => HashAlgorithm::Sha256,
            1 if sha_512 => HashAlgorithm::Sha512,
            _ => return None,
        };
        let fits = width <= ipa_width
            && (!lpa2 || offers_lpa2)
            && (!sve || sve_fits)
            && (!pmu || pmu_fits)
            && (1..=breakpoints).contains(&byte(0x18))
            && (1..=watchpoints).contains(&byte(0x20));

        let vmid = u16::from_le_bytes([byte(0x800), byte(0x801)]);
        let vmid_fits = limits.vmid_bits == 16 || vmid < 0x100;

        let base = page.u64(0x808);
        let start_level = page.u64(0x810).cast_signed();
        let tables = Shape::start_tables(width.into(), start_level, lpa2)?;
        let shape_fits = u64::from(page.u32(0x818)) == tables
            && base.is_multiple_of(tables * 0x1000)
            && base.checked_add(tables * 0x1000).is_some();
        if !(fits && vmid_fits && shape_fits) {
            return None;
        }
        let start_tables = (0..tables).map(|number| base + number * 0x1000).collect();
        let shape = Shape {
            ipa_width: width.into(),
            start_level,
            start_tables,
            lpa2,
        };
        Some(Self {
            shape,
            vmid,
            hash_algorithm,
        })
    }
}

/// `RmiRecParams`.
#[derive(Debug)]
pub(super) struct RecParameters {
    pub(super) runnable: bool,
    pub(super) index: u64,
    /// As many as the host says there are, at most 16.
    pub(super) aux: Option<Vec<u64>>,
}

impl RecParameters {
    pub(super) fn read(page: &Page) -> Self {
        let mpidr = page.u64(0x100);
        let affinity = |shift: u32| mpidr >> shift & 0xff;
        let index = (mpidr & 0xf)
            + 16 * affinity(8)
            + 16 * 256 * affinity(16)
            + 16 * 256 * 256 * affinity(24);
        let count = usize::try_from(page.u64(0x800))
            .ok()
            .filter(|&count| count <= 16);
        let aux = count.map(|count| (0..count).map(|n| page.u64(0x808 + 8 * n)).collect());
        Self {
            runnable: page.u64(0) & 1 != 0,
            index,
            aux,
        }
    }
}
