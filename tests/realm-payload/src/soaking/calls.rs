//! Calls that succeed, and PSCI.

use realm_guest_kit::psci::{self, Affinity, PowerState};
use realm_guest_kit::rsi;
use rmm_abi::Version;
use rmm_abi::rsi::VERSION_1_0;
use rmm_abi::smc;
use zerocopy::IntoBytes as _;

use super::{Soak, expect_bytes, succeeds};
use crate::calls::{Instruction, Mismatch, call, expect};
use crate::entry::conduit;
use crate::rec::secondary_entry_address;
use crate::registers::mpidr;

/// A CPU that no Realm has.
const NO_CPU: u64 = 0xfff_ffff;

impl Soak<'_> {
    pub(super) fn call_rsi(&mut self) -> Result<(), Mismatch> {
        let conduit = conduit();
        match self.random.below(4) {
            0 => {
                let offer = succeeds(0, rsi::version(&conduit, VERSION_1_0))?;
                expect(1, 1, offer.compatible.into())?;
                expect(2, VERSION_1_0.word(), offer.lower.word())
            }
            1 => {
                let value = succeeds(3, rsi::features(&conduit, self.random.word()))?;
                expect(4, 0, value)
            }
            2 => {
                let second = &mut self.rec.second_config;
                succeeds(5, rsi::realm_config(&conduit, second))?;
                expect_bytes(6, self.rec.config.as_bytes(), second.as_bytes())
            }
            _ => {
                let challenge = [self.random.word().to_le_bytes()[7]; 64];
                let most = succeeds(7, rsi::attestation_token_init(&conduit, &challenge))?;
                expect(8, 1, (most > 0).into())
            }
        }
    }

    pub(super) fn call_psci(&mut self) -> Result<(), Mismatch> {
        let conduit = conduit();
        let own = Affinity::from_mpidr(mpidr());
        let other = Affinity::from_rec_index(NO_CPU);
        match self.random.below(9) {
            0 => expect(
                0,
                1,
                (psci::version(&conduit) == Ok(Version::new(1, 1))).into(),
            ),
            1 => {
                let features = psci::features(&conduit, smc::psci::CPU_ON);
                expect(1, 1, (features == Ok(0)).into())
            }
            2 => {
                let features = psci::features(&conduit, smc::psci::CPU_ON + 2);
                expect(2, 1, (features == Err(psci::Error::NotSupported)).into())
            }
            3 => {
                let state = psci::affinity_info(&conduit, own);
                expect(3, 1, (state == Ok(PowerState::On)).into())
            }
            4 => {
                let entry = secondary_entry_address();
                let refused = psci::cpu_on(&conduit, own, entry, 0);
                expect(4, 1, (refused == Err(psci::Error::AlreadyOn)).into())
            }
            5 => {
                let entry = secondary_entry_address();
                let refused = psci::cpu_on(&conduit, other, entry, 0);
                let expected = Err(psci::Error::InvalidParameters);
                expect(5, 1, (refused == expected).into())
            }
            6 => {
                let state = psci::affinity_info(&conduit, other);
                let expected = Err(psci::Error::InvalidParameters);
                expect(6, 1, (state == expected).into())
            }
            7 => {
                let done = psci::cpu_suspend(&conduit, 0, 0, 0);
                expect(7, 1, done.is_ok().into())
            }
            _ => {
                let mut registers = core::array::from_fn(|_| self.random.word());
                registers[0] = smc::SMCCC_VERSION;
                let registers = call(Instruction::Smc, &registers)?;
                expect(8, 0x1_0002, registers[0])
            }
        }
    }
}
