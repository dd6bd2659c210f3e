//! Tests of the services, on tables in ordinary memory.

use super::*;
use core::sync::atomic::AtomicU64;
use std::cell::RefCell;
use std::sync::LazyLock;

use crate::region::GIB;

const SHARED: Region = Region {
    start: GIB + 0x10_0000,
    end: GIB + 0x10_1000,
};
const POOL: Region = Region {
    start: GIB + 0x20_0000,
    end: GIB + 0x21_0000,
};
const GRANULE_ADDRESS: u64 = GIB + 0x30_0000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Flush(u64, Alias, Protection),
    Forget(u64, Protection),
    Write(u64, usize),
}

/// Notes what was done, and which protection the granule had at that moment.
struct Recorder<'a> {
    tables: &'a Tables<'a>,
    actions: RefCell<Vec<Action>>,
}

impl Hardware for Recorder<'_> {
    fn flush_granule(&self, address: u64, alias: Alias) {
        let protection = self.tables.get(address).unwrap();
        self.actions
            .borrow_mut()
            .push(Action::Flush(address, alias, protection));
    }
    fn forget_protection(&self, address: u64) {
        let protection = self.tables.get(address).unwrap();
        self.actions
            .borrow_mut()
            .push(Action::Forget(address, protection));
    }
    fn write_shared(&self, address: u64, bytes: &[u8]) {
        self.actions
            .borrow_mut()
            .push(Action::Write(address, bytes.len()));
    }
    fn read_shared(&self, _: u64, bytes: &mut [u8]) {
        bytes.fill(0x77);
    }
    fn let_time_pass(&self) {}
    fn random(&self) -> Option<u64> {
        Some(1)
    }
    fn with_independent_timing<R>(&self, work: impl FnOnce() -> R) -> R {
        work()
    }
}

fn services(key: bool) -> Services<'static> {
    services_with(key, None, None)
}

fn services_with(key: bool, attester: Option<Attester>, fault: Option<Fault>) -> Services<'static> {
    let words = |count: usize| -> &'static [AtomicU64] {
        Vec::leak((0..count).map(|_| AtomicU64::new(0)).collect())
    };
    let bank = Region::new(GIB, GIB / 2).unwrap();
    let tables = Tables::new(words(1024), words(0x4000), 0, &[bank], &[]);
    tables.set(&SHARED, Protection::Realm);
    tables.set(&POOL, Protection::Realm);
    for (offset, protection) in [(0, Protection::Root), (1, Protection::Secure)] {
        let granule = Region::new(GIB + offset * GRANULE, GRANULE).unwrap();
        tables.set(&granule, protection);
    }
    Services::new(
        tables,
        SHARED,
        POOL,
        key.then_some([7; 48]),
        attester,
        fault,
    )
}

fn calls(services: &Services<'_>, function: u64, arguments: [u64; 4]) -> (Reply, Vec<Action>) {
    let recorder = Recorder {
        tables: services.tables(),
        actions: RefCell::default(),
    };
    let reply = services.call(&recorder, function, arguments);
    (reply, recorder.actions.into_inner())
}

fn code(services: &Services<'_>, function: u64, arguments: [u64; 4]) -> ServiceCode {
    let (reply, actions) = calls(services, function, arguments);
    assert!(reply.code == ServiceCode::Ok || (reply.value.is_none() && actions.is_empty()));
    reply.code
}

#[test]
fn a_granule_goes_to_the_realm_world_and_back_in_the_right_order() {
    let services = services(false);
    let (reply, actions) = calls(&services, fid::GTSI_DELEGATE, [GRANULE_ADDRESS, 0, 0, 0]);
    assert_eq!(reply, ServiceCode::Ok.into());
    assert_eq!(
        actions,
        [
            Action::Flush(GRANULE_ADDRESS, Alias::Realm, Protection::NonSecure),
            Action::Forget(GRANULE_ADDRESS, Protection::Realm),
            Action::Flush(GRANULE_ADDRESS, Alias::NonSecure, Protection::Realm),
        ]
    );
    let (reply, actions) = calls(&services, fid::GTSI_UNDELEGATE, [GRANULE_ADDRESS, 0, 0, 0]);
    assert_eq!(reply, ServiceCode::Ok.into());
    assert_eq!(
        actions,
        [
            Action::Forget(GRANULE_ADDRESS, Protection::NoAccess),
            Action::Flush(GRANULE_ADDRESS, Alias::Realm, Protection::NoAccess),
            Action::Flush(GRANULE_ADDRESS, Alias::NonSecure, Protection::NoAccess),
            Action::Forget(GRANULE_ADDRESS, Protection::NonSecure),
        ]
    );
    let protection = services.tables().get(GRANULE_ADDRESS);
    assert_eq!(protection, Some(Protection::NonSecure));
}

#[test]
fn delegation_errors() {
    let services = services(false);
    let delegate = |address| code(&services, fid::GTSI_DELEGATE, [address, 0, 0, 0]);
    let undelegate = |address| code(&services, fid::GTSI_UNDELEGATE, [address, 0, 0, 0]);
    // Misaligned wins over every other error.
    for address in [GRANULE_ADDRESS + 1, GIB + 0x800, u64::MAX, 0x0900_0008] {
        assert_eq!(delegate(address), ServiceCode::BadAddress);
        assert_eq!(undelegate(address), ServiceCode::BadAddress);
    }
    // Not memory: devices, above the memory of the GiB, above the tables.
    for address in [0x0900_0000, GIB + GIB / 2, 3 * GIB, 1 << 40, 1 << 63] {
        assert_eq!(delegate(address), ServiceCode::BadAddress);
        assert_eq!(undelegate(address), ServiceCode::BadAddress);
    }
    // Root, Secure.
    for address in [GIB, GIB + GRANULE] {
        assert_eq!(delegate(address), ServiceCode::BadPas);
        assert_eq!(undelegate(address), ServiceCode::BadPas);
    }
    assert_eq!(delegate(SHARED.start), ServiceCode::BadPas);
    assert_eq!(undelegate(GRANULE_ADDRESS), ServiceCode::BadPas);
    assert_eq!(delegate(GRANULE_ADDRESS), ServiceCode::Ok);
    assert_eq!(delegate(GRANULE_ADDRESS), ServiceCode::BadPas);
    assert_eq!(undelegate(GRANULE_ADDRESS), ServiceCode::Ok);
    assert_eq!(undelegate(GRANULE_ADDRESS), ServiceCode::BadPas);
}

#[test]
fn the_fault_keeps_every_granule_in_the_realm_world() {
    let services = services_with(false, None, Some(Fault::RefuseUndelegate));
    let delegate = code(&services, fid::GTSI_DELEGATE, [GRANULE_ADDRESS, 0, 0, 0]);
    assert_eq!(delegate, ServiceCode::Ok);
    for address in [
        GRANULE_ADDRESS,
        GRANULE_ADDRESS + GRANULE,
        GRANULE_ADDRESS + 1,
    ] {
        let undelegate = code(&services, fid::GTSI_UNDELEGATE, [address, 0, 0, 0]);
        assert_eq!(undelegate, ServiceCode::BadPas, "{address:#x}");
    }
    let protection = services.tables().get(GRANULE_ADDRESS);
    assert_eq!(protection, Some(Protection::Realm));
}

#[test]
fn the_key_goes_into_the_shared_page_only() {
    let services = services(true);
    let key = |address, size, curve| {
        code(
            &services,
            fid::ATTEST_GET_REALM_KEY,
            [address, size, curve, 0],
        )
    };
    let last = SHARED.end - 48;
    for (address, size) in [
        (SHARED.start - 1, 48),
        (last + 1, 48),
        (SHARED.start, 0x1001),
        (SHARED.end, 48),
        (GRANULE_ADDRESS, 48),
        (SHARED.start, u64::MAX),
        (u64::MAX, 48),
    ] {
        // The address comes before the curve.
        assert_eq!(key(address, size, 0), ServiceCode::BadAddress);
        assert_eq!(key(address, size, 1), ServiceCode::BadAddress);
    }
    assert_eq!(key(SHARED.start, 0x1000, 1), ServiceCode::Invalid);
    assert_eq!(key(SHARED.start, 47, 0), ServiceCode::Invalid);
    assert_eq!(key(SHARED.start, 0, 0), ServiceCode::Invalid);
    for (address, size) in [(SHARED.start, 0x1000), (last, 48), (SHARED.start + 1, 60)] {
        let (reply, actions) = calls(&services, fid::ATTEST_GET_REALM_KEY, [address, size, 0, 0]);
        assert_eq!(reply, Reply::value(48));
        assert_eq!(actions, [Action::Write(address, 48)]);
    }
}

#[test]
fn without_random_bits_there_is_no_key() {
    let services = services(false);
    let call = [SHARED.start, 48, 0, 0];
    assert_eq!(
        code(&services, fid::ATTEST_GET_REALM_KEY, call),
        ServiceCode::Unknown
    );
}

#[test]
fn the_platform_token_checks_its_arguments() {
    let services = services(true);
    let token = |address, size, challenge| {
        let call = [address, size, challenge, 0];
        code(&services, fid::ATTEST_GET_PLATFORM_TOKEN, call)
    };
    for challenge in [32, 7] {
        assert_eq!(
            token(GRANULE_ADDRESS, 0x1000, challenge),
            ServiceCode::BadAddress
        );
        assert_eq!(
            token(SHARED.start + 1, 0x1000, challenge),
            ServiceCode::BadAddress
        );
    }
    for challenge in [0, 1, 31, 33, 65, u64::MAX] {
        assert_eq!(token(SHARED.start, 0x1000, challenge), ServiceCode::Invalid);
    }
    assert_eq!(token(SHARED.start, 63, 64), ServiceCode::Invalid);
    for challenge in [32, 48, 64] {
        assert_eq!(token(SHARED.start, 0x1000, challenge), ServiceCode::Unknown);
    }
}

#[test]
fn the_platform_token_comes_in_pieces_as_large_as_the_buffer() {
    const ROOM: u64 = 200;
    let attester = crate::attestation::tests::attester(None);
    let services = services_with(false, Some(attester), None);
    let call = |room, challenge_size| {
        let call = [SHARED.end - room, room, challenge_size, 0];
        let function = fid::ATTEST_GET_PLATFORM_TOKEN;
        calls(&services, function, call)
    };
    assert_eq!(call(ROOM, 0).0, ServiceCode::Invalid.into());
    assert_eq!(call(31, 32).0, ServiceCode::Invalid.into());
    let (first, actions) = call(ROOM, 32);
    assert_eq!((first.code, first.value), (ServiceCode::Ok, Some(ROOM)));
    assert_eq!(actions, [Action::Write(SHARED.end - ROOM, 200)]);
    let left = first.remaining.unwrap();
    assert!((200..800).contains(&left), "{left}");
    // A call that is refused does not disturb it.
    assert_eq!(call(0, 0).0, ServiceCode::Invalid.into());
    assert_eq!(call(ROOM, 31).0, ServiceCode::Invalid.into());
    let (second, _) = call(100, 0);
    assert_eq!(
        (second.value, second.remaining),
        (Some(100), Some(left - 100))
    );
    let (last, actions) = call(0x1000, 0);
    assert_eq!((last.value, last.remaining), (Some(left - 100), Some(0)));
    let size = usize::try_from(left - 100).unwrap();
    assert_eq!(actions, [Action::Write(SHARED.start, size)]);
    assert_eq!(call(ROOM, 0).0, ServiceCode::Invalid.into());
}

#[test]
fn features_and_services_that_are_not_there() {
    let services = services(true);
    let (reply, _) = calls(&services, fid::FEATURES, [0; 4]);
    assert_eq!(reply, Reply::value(0));
    assert_eq!(
        code(&services, fid::FEATURES, [1, 0, 0, 0]),
        ServiceCode::Invalid
    );
    for (operation, expected) in [
        (0, ServiceCode::Invalid),
        (1, ServiceCode::Unknown),
        (3, ServiceCode::Unknown),
        (4, ServiceCode::Invalid),
    ] {
        let call = [operation, SHARED.start, 64, 0];
        assert_eq!(code(&services, fid::TOKEN_SIGN, call), expected);
    }
    for function in [
        fid::MEC_REFRESH,
        fid::IDE_KEY_PROG,
        fid::IDE_KM_PULL_RESPONSE,
        0xc400_01bc,
        0x8400_0000,
        0,
        u64::MAX,
    ] {
        assert_eq!(
            code(&services, function, [0; 4]),
            ServiceCode::Unknown,
            "{function:#x}"
        );
    }
}

#[test]
fn memory_is_reserved_until_it_is_used_up_or_the_boot_is_over() {
    let services = services(false);
    let reserve = |size, how| calls(&services, fid::RESERVE_MEMORY, [size, how, 0, 0]).0;
    for (size, how) in [
        (0, 0),
        (0x800, 0),
        (0x1001, 0),
        (0x1000, 2),
        (0x1000, 1 << 55),
        (0x1000, 64 << 56),
        (0x1000, u64::MAX),
    ] {
        assert_eq!(reserve(size, how), ServiceCode::Invalid.into());
    }
    assert_eq!(reserve(0x1000, 0), Reply::value(POOL.start));
    assert_eq!(reserve(0x2000, 14 << 56), Reply::value(POOL.start + 0x4000));
    assert_eq!(
        reserve(0x1000, 12 << 56 | 1),
        Reply::value(POOL.start + 0x6000)
    );
    for (size, how) in [(0xa000, 0), (0x1000, 63 << 56), (!0xfff, 0)] {
        assert_eq!(reserve(size, how), ServiceCode::NoMemory.into());
    }
    assert_eq!(reserve(0x9000, 0), Reply::value(POOL.start + 0x7000));
    assert_eq!(reserve(0x1000, 0), ServiceCode::NoMemory.into());
}

#[test]
fn nothing_is_reserved_after_the_boot() {
    let services = services(false);
    services.boot_is_complete();
    let (reply, _) = calls(&services, fid::RESERVE_MEMORY, [0x1000, 0, 0, 0]);
    assert_eq!(reply, ServiceCode::Unknown.into());
}

#[test]
fn one_of_many_delegations_at_once_succeeds() {
    struct Nothing;
    impl Hardware for Nothing {
        fn flush_granule(&self, _: u64, _: Alias) {}
        fn forget_protection(&self, _: u64) {}
        fn write_shared(&self, _: u64, _: &[u8]) {}
        fn read_shared(&self, _: u64, _: &mut [u8]) {}
        fn let_time_pass(&self) {}
        fn random(&self) -> Option<u64> {
            None
        }
        fn with_independent_timing<R>(&self, work: impl FnOnce() -> R) -> R {
            work()
        }
    }
    static SERVICES: LazyLock<Services<'static>> = LazyLock::new(|| services(false));
    for round in 0..200 {
        let address = GRANULE_ADDRESS + round % 16 * GRANULE;
        for function in [fid::GTSI_DELEGATE, fid::GTSI_UNDELEGATE] {
            let call = || SERVICES.call(&Nothing, function, [address, 0, 0, 0]).code;
            let codes = std::thread::scope(|scope| {
                let other = scope.spawn(call);
                [call(), other.join().unwrap()]
            });
            let successes = codes.iter().filter(|code| **code == ServiceCode::Ok);
            assert_eq!(successes.count(), 1, "{codes:?}");
        }
    }
}
