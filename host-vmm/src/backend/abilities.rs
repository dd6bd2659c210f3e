//! What an RMM can do, and what it cannot.

use thiserror::Error;

use crate::configuration::{Configuration, HashAlgorithm};
use crate::layout::Layout;

/// Feature register 0 of an RMM (DEN0137, "`RmiFeatureRegister0`"), as the Realm kernel module
/// hands it on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities(u64);

/// Something that a Realm wants, and that the RMM does not have.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
pub enum Lack {
    /// Memory at such addresses.
    #[error("{wanted} bits of addresses, for this much memory; it has {most}")]
    Addresses {
        /// What the machine has.
        wanted: u8,
        /// What there is.
        most: u8,
    },
    /// vCPUs.
    #[error("{wanted} vCPUs; it runs at most {most}")]
    Vcpus {
        /// What the machine has.
        wanted: u32,
        /// What there is.
        most: u32,
    },
    /// A hash algorithm.
    #[error("measurements with {0}; use the other one (--hash)")]
    Hash(&'static str),
    /// SVE.
    #[error("SVE; leave out --sve-vl")]
    Sve,
    /// Vectors as long as that.
    #[error("vectors of {wanted} bits; it has at most {most} (--sve-vl)")]
    Vectors {
        /// What the machine has.
        wanted: u32,
        /// What there is.
        most: u32,
    },
    /// A PMU.
    #[error("a PMU; leave out --pmu-counters")]
    Pmu,
    /// As many event counters.
    #[error("{wanted} event counters; it has at most {most} (--pmu-counters)")]
    Counters {
        /// What the machine has.
        wanted: u8,
        /// What there is.
        most: u8,
    },
    /// As many breakpoints.
    #[error("{wanted} breakpoints; it has at most {most} (--breakpoints)")]
    Breakpoints {
        /// What the machine has.
        wanted: u32,
        /// What there is.
        most: u32,
    },
    /// As many watchpoints.
    #[error("{wanted} watchpoints; it has at most {most} (--watchpoints)")]
    Watchpoints {
        /// What the machine has.
        wanted: u32,
        /// What there is.
        most: u32,
    },
}

impl Abilities {
    /// Those of a register. Zero is that of no RMM.
    pub const fn new(register: u64) -> Option<Self> {
        if register == 0 {
            None
        } else {
            Some(Self(register))
        }
    }

    const fn field(self, shift: u32, width: u32) -> u8 {
        (self.0 >> shift & ((1 << width) - 1)).to_le_bytes()[0]
    }

    const fn bit(self, shift: u32) -> bool {
        self.0 >> shift & 1 != 0
    }

    /// Widest address space, in bits. Wider ones than 48 bits are another kind, which is not used.
    pub fn address_bits(self) -> u8 {
        self.field(0, 8).min(48)
    }

    /// Longest vectors of SVE, in bits.
    pub fn vector_bits(self) -> Option<u32> {
        self.bit(9)
            .then(|| (u32::from(self.field(10, 4)) + 1) * 128)
    }

    /// Hardware breakpoints.
    pub fn breakpoints(self) -> u32 {
        u32::from(self.field(14, 6)) + 1
    }

    /// Hardware watchpoints.
    pub fn watchpoints(self) -> u32 {
        u32::from(self.field(20, 6)) + 1
    }

    /// Event counters of the PMU.
    pub fn counters(self) -> Option<u8> {
        self.bit(26).then(|| self.field(27, 5))
    }

    /// Whether measurements can be made with an algorithm.
    pub fn hashes(self, algorithm: HashAlgorithm) -> bool {
        self.bit(match algorithm {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha512 => 33,
        })
    }

    /// vCPUs of a Realm.
    pub fn vcpus(self) -> u32 {
        (1 << u32::from(self.field(38, 4))) - 1
    }

    /// The first thing that a machine wants as a Realm, and that is not there.
    pub fn lack(self, configuration: &Configuration, layout: &Layout) -> Option<Lack> {
        let options = configuration.realm.as_ref()?;
        let (wanted, most) = (layout.ipa_bits, self.address_bits());
        if wanted > most {
            return Some(Lack::Addresses { wanted, most });
        }
        let (wanted, most) = (configuration.cpus.get(), self.vcpus());
        if wanted > most {
            return Some(Lack::Vcpus { wanted, most });
        }
        if !self.hashes(options.hash_algorithm) {
            return Some(Lack::Hash(options.hash_algorithm.name()));
        }
        if let Some(length) = options.sve_vl {
            let wanted = (u32::from(length) + 1) * 128;
            match self.vector_bits() {
                None => return Some(Lack::Sve),
                Some(most) if wanted > most => return Some(Lack::Vectors { wanted, most }),
                Some(_) => {}
            }
        }
        if let Some(wanted) = options.pmu_counters {
            match self.counters() {
                None => return Some(Lack::Pmu),
                Some(most) if wanted > most => return Some(Lack::Counters { wanted, most }),
                Some(_) => {}
            }
        }
        let (wanted, most) = (u32::from(options.breakpoints) + 1, self.breakpoints());
        if wanted > most {
            return Some(Lack::Breakpoints { wanted, most });
        }
        let (wanted, most) = (u32::from(options.watchpoints) + 1, self.watchpoints());
        if wanted > most {
            return Some(Lack::Watchpoints { wanted, most });
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rmm_abi::rmi::FeatureRegister0;

    use super::*;
    use crate::configuration::{CpuCount, MemorySize, RealmOptions};

    /// An RMM that has a little of everything.
    pub(crate) const REGISTER: FeatureRegister0 = FeatureRegister0 {
        ipa_width: 40,
        lpa2: false,
        sve_vector_length: Some(1),
        breakpoints: 5,
        watchpoints: 3,
        pmu_counters: Some(4),
        sha_256: true,
        sha_512: true,
        gic_list_registers: 3,
        max_recs_order: 4,
    };

    #[test]
    fn the_register_is_read_as_it_is_written() {
        let all = Abilities::new(REGISTER.word()).unwrap();
        assert_eq!(all.address_bits(), 40);
        assert_eq!(all.vector_bits(), Some(256));
        assert_eq!((all.breakpoints(), all.watchpoints()), (6, 4));
        assert_eq!(all.counters(), Some(4));
        assert!(all.hashes(HashAlgorithm::Sha256) && all.hashes(HashAlgorithm::Sha512));
        assert_eq!(all.vcpus(), 15);
        let least = FeatureRegister0 {
            ipa_width: 52,
            ..FeatureRegister0::default()
        };
        let least = Abilities::new(least.word()).unwrap();
        assert_eq!((least.vector_bits(), least.counters()), (None, None));
        assert_eq!((least.address_bits(), least.vcpus()), (48, 0));
        assert_eq!(Abilities::new(0), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        type Change = fn(&mut Configuration, &mut RealmOptions);
        let lack = |register: FeatureRegister0, change: Change| {
            let mut configuration = Configuration::new("kernel".into());
            let mut options = RealmOptions::default();
            change(&mut configuration, &mut options);
            configuration.realm = Some(options);
            let layout = Layout::new(configuration.memory, configuration.cpus);
            Abilities::new(register.word())
                .unwrap()
                .lack(&configuration, &layout)
        };
        assert_eq!(lack(REGISTER, |_, _| {}), None);
        assert_eq!(
            lack(REGISTER, |machine, options| {
                machine.cpus = CpuCount::new(15).unwrap();
                options.hash_algorithm = HashAlgorithm::Sha512;
                options.sve_vl = Some(1);
                options.pmu_counters = Some(4);
                options.breakpoints = 5;
                options.watchpoints = 3;
            }),
            None
        );
        let changes: [(Change, Lack); 7] = [
            (
                |machine, _| machine.memory = MemorySize::new(512 << 30).unwrap(),
                Lack::Addresses {
                    wanted: 41,
                    most: 40,
                },
            ),
            (
                |machine, _| machine.cpus = CpuCount::new(16).unwrap(),
                Lack::Vcpus {
                    wanted: 16,
                    most: 15,
                },
            ),
            (
                |_, options| options.sve_vl = Some(2),
                Lack::Vectors {
                    wanted: 384,
                    most: 256,
                },
            ),
            (
                |_, options| options.pmu_counters = Some(5),
                Lack::Counters { wanted: 5, most: 4 },
            ),
            (
                |_, options| options.breakpoints = 6,
                Lack::Breakpoints { wanted: 7, most: 6 },
            ),
            (
                |_, options| options.watchpoints = 4,
                Lack::Watchpoints { wanted: 5, most: 4 },
            ),
            (|_, _| {}, Lack::Hash("sha-256")),
        ];
        for (change, expected) in changes {
            let register = FeatureRegister0 {
                sha_256: expected != Lack::Hash("sha-256"),
                ..REGISTER
            };
            assert_eq!(lack(register, change), Some(expected));
        }
        let without = FeatureRegister0 {
            sve_vector_length: None,
            pmu_counters: None,
            ..REGISTER
        };
        assert_eq!(
            lack(without, |_, options| options.sve_vl = Some(0)),
            Some(Lack::Sve)
        );
        assert_eq!(
            lack(without, |_, options| options.pmu_counters = Some(0)),
            Some(Lack::Pmu)
        );
    }
}
