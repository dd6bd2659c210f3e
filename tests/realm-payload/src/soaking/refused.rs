//! RSI calls with arguments that must be refused.

use rmm_abi::GRANULE_SIZE;
use rmm_abi::rsi::{ReturnCode, fid};

use super::Soak;
use crate::calls::{Instruction, Mismatch, call, expect};

const PAGE: u64 = GRANULE_SIZE as u64;

/// Registers that an RSI call uses, and their number.
type Arguments = ([u64; 5], usize);

impl Soak<'_> {
    pub(super) fn call_refused(&mut self) -> Result<(), Mismatch> {
        let choice = self.random.below(20);
        let ([function, arguments @ ..], count) = self.refused_call(choice);
        let mut registers = core::array::from_fn(|_| self.random.word());
        registers[0] = function;
        registers[1..=count].copy_from_slice(&arguments[..count]);
        let after = call(Instruction::Smc, &registers)?;
        let check = usize::try_from(choice).unwrap_or_default();
        expect(check, ReturnCode::ErrorInput.word(), after[0])?;
        for found in &after[1..4] {
            expect(0x40 | check, 0, *found)?;
        }
        for (before, found) in registers.iter().zip(&after).skip(4) {
            expect(0x80 | check, *before, *found)?;
        }
        Ok(())
    }

    /// A call with one argument that is wrong.
    fn refused_call(&mut self, choice: u64) -> Arguments {
        let random = &mut self.random;
        let page = self.rec.scratch();
        let shared = 1 << (self.rec.config.ipa_width - 1);
        // An address in the page, but not its first.
        let inside = page + 1 + random.below(PAGE - 1);
        match choice {
            0 => (
                [fid::MEASUREMENT_READ, 5 + random.below(1 << 32), 0, 0, 0],
                1,
            ),
            1 => ([fid::MEASUREMENT_EXTEND, 0, 8, 0, 0], 2),
            2 => (
                [fid::MEASUREMENT_EXTEND, 5 + random.below(1 << 32), 8, 0, 0],
                2,
            ),
            3 => (
                [fid::MEASUREMENT_EXTEND, 1, 65 + random.below(1 << 32), 0, 0],
                2,
            ),
            4 => ([fid::REALM_CONFIG, inside, 0, 0, 0], 1),
            5 => ([fid::REALM_CONFIG, shared, 0, 0, 0], 1),
            6 => ([fid::IPA_STATE_GET, inside, page + 2 * PAGE, 0, 0], 2),
            7 => ([fid::IPA_STATE_GET, page, inside + PAGE, 0, 0], 2),
            8 => ([fid::IPA_STATE_GET, page, page, 0, 0], 2),
            9 => ([fid::IPA_STATE_GET, page + PAGE, page, 0, 0], 2),
            10 => ([fid::IPA_STATE_GET, page, shared + PAGE, 0, 0], 2),
            11 => ([fid::IPA_STATE_SET, inside, page + 2 * PAGE, 1, 0], 4),
            12 => ([fid::IPA_STATE_SET, page, page, 1, 0], 4),
            13 => (
                [
                    fid::IPA_STATE_SET,
                    page,
                    page + PAGE,
                    2 + random.below(200),
                    0,
                ],
                4,
            ),
            14 => ([fid::IPA_STATE_SET, shared, shared + PAGE, 1, 0], 4),
            15 => ([fid::HOST_CALL, page + 1 + random.below(255), 0, 0, 0], 1),
            16 => ([fid::HOST_CALL, shared, 0, 0, 0], 1),
            17 => ([fid::ATTESTATION_TOKEN_CONTINUE, inside, 0, 16, 0], 3),
            18 => ([fid::ATTESTATION_TOKEN_CONTINUE, page, PAGE, 0, 0], 3),
            _ => ([fid::ATTESTATION_TOKEN_CONTINUE, page, 16, PAGE - 15, 0], 3),
        }
    }
}
