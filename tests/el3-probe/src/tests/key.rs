//! The realm attestation key.

use rmm_abi::el3::{CURVE_P384, P384_SCALAR_SIZE, ServiceCode, fid};

use crate::memory::{ManifestPage, read, write};
use crate::report::{Outcome, Problem, expect_equal, fail};
use crate::smc::{call, code};

const PAGE: u64 = 0x1000;
const SIZE: u64 = P384_SCALAR_SIZE as u64;
/// The order of P-384, its upper half: a key is at most this.
const ORDER_HIGH: [u64; 3] = [u64::MAX; 3];

fn get_key(address: u64, size: u64, curve: u64) -> ServiceCode {
    code(fid::ATTEST_GET_REALM_KEY, &[address, size, curve])
}

fn words(address: u64) -> Result<[u64; 6], Problem> {
    let mut words = [0; 6];
    for (word, place) in words.iter_mut().zip((address..).step_by(8)) {
        match read(place) {
            Ok(value) => *word = u64::from_be(value),
            Err(exception) => fail!("the shared page cannot be read: {exception:x?}"),
        }
    }
    Ok(words)
}

pub(crate) fn success(page: &ManifestPage) -> Outcome {
    let shared = page.address();
    let mut keys = [[0; 6]; 2];
    for (key, offset) in keys.iter_mut().zip([0, PAGE - SIZE]) {
        let guard = if offset == 0 { SIZE } else { offset - 8 };
        expect_equal!(
            write(shared + guard, 0x77),
            Ok(()),
            "write of the shared page"
        );
        let arguments = [shared + offset, PAGE - offset, CURVE_P384, 0];
        let results = call(fid::ATTEST_GET_REALM_KEY, arguments);
        if results.code() == ServiceCode::Unknown {
            return Err(Problem::Skipped("EL3 has no key on this machine"));
        }
        expect_equal!(results.value(), Some(SIZE), "size of the key");
        *key = words(shared + offset)?;
        expect_equal!(read(shared + guard), Ok(0x77), "the word beside the key");
    }
    expect_equal!(keys[0], keys[1], "the key of a second call");
    if keys[0] == [0; 6] {
        fail!("the key is zero");
    }
    let too_large = keys[0][..3] == ORDER_HIGH && keys[0][3] > 0xc763_4d81_f437_2ddf;
    expect_equal!(too_large, false, "key above the order of the curve");
    Ok(())
}

pub(crate) fn outside(page: &ManifestPage) -> Outcome {
    let shared = page.address();
    for (address, size) in [
        (shared - 8, SIZE),
        (shared + PAGE - SIZE + 8, SIZE),
        (shared + PAGE, SIZE),
        (shared, PAGE + 1),
        (shared, u64::MAX),
        (shared + 8, PAGE),
        (u64::MAX - 7, SIZE),
        (0, SIZE),
    ] {
        for curve in [CURVE_P384, 1] {
            let seen = get_key(address, size, curve);
            expect_equal!(
                seen,
                ServiceCode::BadAddress,
                "{size:#x} bytes at {address:#x}"
            );
        }
    }
    Ok(())
}

pub(crate) fn invalid(page: &ManifestPage) -> Outcome {
    let shared = page.address();
    for curve in [1, 2, u64::MAX] {
        expect_equal!(
            get_key(shared, PAGE, curve),
            ServiceCode::Invalid,
            "curve {curve}"
        );
    }
    for size in [1, SIZE - 1] {
        expect_equal!(
            get_key(shared, size, CURVE_P384),
            ServiceCode::Invalid,
            "size {size}"
        );
    }
    Ok(())
}
