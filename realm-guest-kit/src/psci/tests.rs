use super::*;
use crate::fake::Script;

#[test]
fn version_and_features_are_numbers_or_errors() {
    let script = Script::new([&[0x1_0001], &[u64::MAX], &[0], &[2], &[u64::MAX]]);
    assert_eq!(version(&script), Ok(Version::new(1, 1)));
    assert_eq!(version(&script), Err(Error::NotSupported));
    assert_eq!(features(&script, psci::CPU_ON), Ok(0));
    assert_eq!(features(&script, psci::CPU_SUSPEND), Ok(2));
    assert_eq!(features(&script, 5), Err(Error::NotSupported));
    script.expect_calls([
        &[0x8400_0000],
        &[0x8400_0000],
        &[0x8400_000a, 0xc400_0003],
        &[0x8400_000a, 0xc400_0001],
        &[0x8400_000a, 5],
    ]);
}

#[test]
fn every_code_has_its_error() {
    let codes = [
        (-1_i64, Error::NotSupported),
        (-2, Error::InvalidParameters),
        (-3, Error::Denied),
        (-4, Error::AlreadyOn),
        (-5, Error::OnPending),
        (-6, Error::InternalFailure),
        (-7, Error::NotPresent),
        (-8, Error::Disabled),
        (-9, Error::InvalidAddress),
        (-10, Error::Unexpected(u64::MAX - 9)),
        (1, Error::Unexpected(1)),
    ];
    for (code, error) in codes {
        let script = Script::new([&[code.cast_unsigned()]]);
        let target = Affinity::from_rec_index(1);
        assert_eq!(cpu_on(&script, target, 0x4000, 7), Err(error), "{code}");
        script.expect_calls([&[0xc400_0003, 1, 0x4000, 7]]);
    }
}

#[test]
fn a_cpu_is_named_by_its_affinity() {
    assert_eq!(Affinity::from_rec_index(0x0f).word(), 0x0f);
    assert_eq!(Affinity::from_rec_index(0x10).word(), 0x100);
    assert_eq!(Affinity::from_rec_index(0x1234_5678).word(), 0x23_0045_6708);
    assert_eq!(
        Affinity::from_mpidr(0xffff_ff81_c112_3405),
        Affinity(0x81_0012_3405)
    );
}

#[test]
fn the_state_of_a_cpu_is_asked_at_the_lowest_level() {
    let script = Script::new([&[0], &[1], &[2], &[(-2_i64).cast_unsigned()], &[3]]);
    let ask = || affinity_info(&script, Affinity::from_rec_index(3));
    assert_eq!(ask(), Ok(PowerState::On));
    assert_eq!(ask(), Ok(PowerState::Off));
    assert_eq!(ask(), Ok(PowerState::OnPending));
    assert_eq!(ask(), Err(Error::InvalidParameters));
    assert_eq!(ask(), Err(Error::Unexpected(3)));
    script.expect_calls([&[0xc400_0004, 3, 0]; 5]);
}

#[test]
fn calls_that_return_only_when_refused_say_why() {
    let denied = [(-3_i64).cast_unsigned()];
    let script = Script::new([&denied, &[0], &denied, &denied]);
    assert_eq!(cpu_off(&script), Error::Denied);
    assert_eq!(cpu_suspend(&script, 1, 2, 3), Ok(()));
    assert_eq!(system_off(&script), Error::Denied);
    assert_eq!(system_reset(&script), Error::Denied);
    script.expect_calls([
        &[0x8400_0002],
        &[0xc400_0001, 1, 2, 3],
        &[0x8400_0008],
        &[0x8400_0009],
    ]);
}
