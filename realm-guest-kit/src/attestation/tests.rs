use core::cell::Cell;

use super::*;
use crate::REGISTERS;
use crate::fake::Script;

fn pages<const N: usize>() -> [TokenPage; N] {
    core::array::from_fn(|_| TokenPage([0; 4096]))
}

#[test]
fn a_token_goes_over_pages_in_steps() {
    let script = Script::new([&[0, 8192], &[3, 0], &[3, 4000], &[3, 96], &[3, 10], &[0, 5]]);
    let mut buffer = pages::<2>();
    assert_eq!(fetch_token(&script, &[7; 64], &mut buffer), Ok(4111));
    let challenge = [0x0707_0707_0707_0707; 8];
    script.expect_calls([
        &[&[0xc400_0194][..], &challenge].concat(),
        &[0xc400_0195, 0x7700_0000, 0, 4096],
        &[0xc400_0195, 0x7700_0000, 0, 4096],
        &[0xc400_0195, 0x7700_0000, 4000, 96],
        &[0xc400_0195, 0x7700_0000, 0, 4096],
        &[0xc400_0195, 0x7700_0000, 10, 4086],
    ]);
}

#[test]
fn a_token_may_end_with_its_page() {
    let script = Script::new([&[0, 4096], &[0, 4096]]);
    assert_eq!(fetch_token(&script, &[0; 64], &mut pages::<1>()), Ok(4096));
}

#[test]
fn a_buffer_that_is_full_is_an_error() {
    let script = Script::new([&[0, 8192], &[3, 4096]]);
    let token = fetch_token(&script, &[0; 64], &mut pages::<1>());
    assert_eq!(token, Err(Error::BufferTooSmall));
    let script = Script::new([&[0, 8192]]);
    let token = fetch_token(&script, &[0; 64], &mut []);
    assert_eq!(token, Err(Error::BufferTooSmall));
}

#[test]
fn errors_of_either_call_come_through() {
    let script = Script::new([&[4]]);
    let token = fetch_token(&script, &[0; 64], &mut pages::<1>());
    assert_eq!(token, Err(Error::Rsi(rsi::Error::Unknown)));
    let script = Script::new([&[0, 4096], &[4]]);
    let token = fetch_token(&script, &[0; 64], &mut pages::<1>());
    assert_eq!(token, Err(Error::Rsi(rsi::Error::Unknown)));
}

/// An RMM that writes a byte in every so many calls, and no more than two.
struct Slow {
    calls: Cell<u32>,
    works_every: u32,
}

impl Slow {
    const fn new(works_every: u32) -> Self {
        Self {
            calls: Cell::new(0),
            works_every,
        }
    }
}

impl Conduit for Slow {
    fn call(&self, mut registers: [u64; REGISTERS]) -> [u64; REGISTERS] {
        if registers[0] != 0xc400_0195 {
            registers[0] = 0;
            return registers;
        }
        let calls = self.calls.get() + 1;
        self.calls.set(calls);
        registers[0] = if calls == 2 * self.works_every { 0 } else { 3 };
        registers[1] = u64::from(calls.is_multiple_of(self.works_every));
        registers
    }
}

#[test]
fn patience_ends_only_without_any_byte() {
    let rmm = Slow::new(PATIENCE);
    assert_eq!(fetch_token(&rmm, &[0; 64], &mut pages::<1>()), Ok(2));
    assert_eq!(rmm.calls.get(), 2 * PATIENCE);

    let rmm = Slow::new(PATIENCE + 1);
    let token = fetch_token(&rmm, &[0; 64], &mut pages::<1>());
    assert_eq!(token, Err(Error::NoProgress));
    assert_eq!(rmm.calls.get(), PATIENCE);
}
