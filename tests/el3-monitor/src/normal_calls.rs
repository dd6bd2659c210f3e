//! The calls of the normal world that EL3 answers itself.

use rmm_abi::rmi;
use rmm_abi::smc::{NOT_SUPPORTED, SMCCC_ARCH_FEATURES, SMCCC_VERSION, function_identifier};

use crate::psci::{Cpus, Hardware, Outcome};

/// SMCCC 1.4.
const CALLING_CONVENTION_VERSION: i64 = 0x1_0004;
const UNKNOWN: Outcome = Outcome::Return(NOT_SUPPORTED.cast_signed());

/// Answers a call of CPU `caller`. `registers` are X0 to X3.
///
/// RMI calls do not come here unless the Realm world is off; then they are unknown calls.
#[inline]
pub fn call(
    cpus: &Cpus<'_>,
    hardware: &impl Hardware,
    caller: usize,
    registers: [u64; 4],
) -> Outcome {
    let [x0, first, second, third] = registers;
    let function = function_identifier(x0);
    match function {
        SMCCC_VERSION => Outcome::Return(CALLING_CONVENTION_VERSION),
        SMCCC_ARCH_FEATURES => match first & 0xffff_ffff {
            SMCCC_VERSION | SMCCC_ARCH_FEATURES => Outcome::Return(0),
            // No workaround is offered, so none is needed or none is there.
            _ => UNKNOWN,
        },
        _ => cpus
            .call(hardware, caller, function, [first, second, third])
            .unwrap_or(UNKNOWN),
    }
}

/// X0 to X2 of an RMM that speaks RMI 2.0 and nothing else, to whoever wants 1.0. It is asked for its version
/// first, and then for nothing.
pub fn call_of_other_rmm(x0: u64) -> Option<[u64; 3]> {
    const REFUSED: u64 = 1;
    const VERSION_2_0: u64 = 2 << 16;
    (function_identifier(x0) == rmi::fid::VERSION).then_some([REFUSED, VERSION_2_0, VERSION_2_0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_abi::el3;
    use rmm_abi::smc::{SVE_HINT, psci};

    struct Nothing;
    impl Hardware for Nothing {
        fn is_normal_memory(&self, _: u64) -> bool {
            false
        }
        fn wake(&self, _: usize) {}
    }

    fn answer(function: u64, first: u64) -> Outcome {
        call(&Cpus::new(&[0]), &Nothing, 0, [function, first, 0, 0])
    }

    #[test]
    fn the_calling_convention_is_described() {
        assert_eq!(answer(SMCCC_VERSION, 0), Outcome::Return(0x1_0004));
        assert_eq!(
            answer(SMCCC_ARCH_FEATURES, SMCCC_VERSION),
            Outcome::Return(0)
        );
        assert_eq!(
            answer(
                SMCCC_ARCH_FEATURES,
                0xdead_0000_0000_0000 | SMCCC_ARCH_FEATURES
            ),
            Outcome::Return(0)
        );
        assert_eq!(answer(SMCCC_ARCH_FEATURES, 0x8000_8000), UNKNOWN);
    }

    #[test]
    fn the_function_is_the_lower_half_without_the_hint() {
        for function in [
            psci::VERSION,
            psci::VERSION | SVE_HINT,
            psci::VERSION | 0xdead_beef << 32,
        ] {
            assert_eq!(answer(function, 0), Outcome::Return(0x1_0001));
        }
    }

    #[test]
    fn another_rmm_says_its_version_and_nothing_else() {
        let version = Some([1, 0x2_0000, 0x2_0000]);
        assert_eq!(call_of_other_rmm(rmi::fid::VERSION), version);
        assert_eq!(call_of_other_rmm(rmi::fid::VERSION | SVE_HINT), version);
        assert_eq!(call_of_other_rmm(rmi::fid::FEATURES), None);
        assert_eq!(call_of_other_rmm(psci::VERSION), None);
    }

    #[test]
    fn what_nobody_answers_is_minus_one() {
        for function in [
            rmi::fid::VERSION,
            el3::fid::GTSI_DELEGATE,
            el3::fid::REQUEST_COMPLETE,
            el3::fid::BOOT_COMPLETE,
            0xc400_0190,
            0,
            0xffff_ffff,
            0x8600_0000,
        ] {
            assert_eq!(answer(function, 0), Outcome::Return(-1), "{function:#x}");
        }
    }
}
