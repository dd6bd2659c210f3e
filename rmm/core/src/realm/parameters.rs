//! Parameters of a Realm, from the host's structure to values that make sense.

use rmm_abi::rmi::{HashAlgorithm, RealmParams, realm_flags};

use crate::cpu_view::Features;
use crate::granule::GranuleAddress;
use crate::rtt::Stage2;

/// Parameters that can be had on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Parameters {
    pub(crate) stage2: Stage2,
    pub(crate) features: Features,
    pub(crate) hash_algorithm: HashAlgorithm,
    pub(crate) personalization: [u64; 8],
}

/// What the machine offers, unpacked from the feature register that the host has seen.
#[derive(Clone, Copy, Debug)]
struct Offer(u64);

impl Offer {
    fn field(self, shift: u32, width: u32) -> u64 {
        self.0 >> shift & ((1 << width) - 1)
    }

    fn flag(self, bit: u32) -> bool {
        self.field(bit, 1) != 0
    }
}

/// Checks the parameters against the feature register. `None` when a field is reserved, not
/// supported, or contradicts another (DEN0137 `RMI_REALM_CREATE`, `params_valid`, `params_supp`,
/// `rtt_align`, `rtt_num_level`).
pub(crate) fn read_parameters(
    params: &RealmParams,
    feature_register_0: u64,
    vmid_bits: u32,
) -> Option<Parameters> {
    let offer = Offer(feature_register_0);
    let flag = |flag| params.flags & flag != 0;

    let lpa2 = flag(realm_flags::LPA2);
    if lpa2 && !offer.flag(8) {
        return None;
    }
    let width_limit = if lpa2 { 52 } else { 48 };
    if u64::from(params.s2sz) > offer.field(0, 8).min(width_limit) {
        return None;
    }
    if flag(realm_flags::SVE) && (!offer.flag(9) || u64::from(params.sve_vl) > offer.field(10, 4)) {
        return None;
    }
    if params.num_bps == 0 || u64::from(params.num_bps) > offer.field(14, 6) {
        return None;
    }
    if params.num_wps == 0 || u64::from(params.num_wps) > offer.field(20, 6) {
        return None;
    }
    if flag(realm_flags::PMU)
        && (!offer.flag(26) || u64::from(params.pmu_num_ctrs) > offer.field(27, 5))
    {
        return None;
    }
    let hash_algorithm = HashAlgorithm::from_encoding(params.hash_algo)?;
    if u32::from(params.vmid) >> vmid_bits != 0 {
        return None;
    }

    let stage2 = Stage2 {
        base: GranuleAddress::new(params.rtt_base)?,
        ipa_width: params.s2sz,
        start_level: i8::try_from(params.rtt_level_start).ok()?,
        start_tables: u8::try_from(params.rtt_num_start).ok()?,
        lpa2,
        vmid: params.vmid,
    };
    // Walks from level 0 up need physical addresses of 44 bits (reference, section 5.6). The feature
    // register's IPA width is not more than the CPU's addresses have.
    if stage2.start_level <= 0 && offer.field(0, 8) < 44 {
        return None;
    }
    if !stage2.is_consistent() {
        return None;
    }
    let mut personalization = [0; 8];
    for (word, bytes) in personalization
        .iter_mut()
        .zip(params.rpv.as_chunks::<8>().0)
    {
        *word = u64::from_le_bytes(*bytes);
    }
    let features = Features {
        sve_vector_length: flag(realm_flags::SVE).then_some(params.sve_vl),
        pmu_counters: flag(realm_flags::PMU).then_some(params.pmu_num_ctrs),
        breakpoints: params.num_bps,
        watchpoints: params.num_wps,
    };
    Some(Parameters {
        stage2,
        features,
        hash_algorithm,
        personalization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_abi::rmi::FeatureRegister0;

    fn params(width: u8, level: i64, tables: u32) -> RealmParams {
        let mut params = RealmParams::default();
        params.s2sz = width;
        params.num_bps = 1;
        params.num_wps = 1;
        params.rtt_base = 0x10_0000;
        params.rtt_level_start = level;
        params.rtt_num_start = tables;
        params
    }

    fn accepted(params: &RealmParams, address_bits: u8) -> bool {
        let features = FeatureRegister0 {
            ipa_width: address_bits,
            breakpoints: 5,
            watchpoints: 3,
            ..Default::default()
        };
        read_parameters(params, features.word(), 8).is_some()
    }

    #[test]
    fn walks_from_level_0_need_44_address_bits() {
        assert!(accepted(&params(40, 0, 1), 44));
        assert!(!accepted(&params(40, 0, 1), 42));
        assert!(accepted(&params(40, 1, 2), 42));
    }
}
