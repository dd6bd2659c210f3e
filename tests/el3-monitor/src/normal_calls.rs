//! The calls of the normal world that EL3 answers itself.

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

#[cfg(test)]
mod tests {
    use super::*;
    use rmm_abi::smc::{SVE_HINT, psci};
    use rmm_abi::{el3, rmi};

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
