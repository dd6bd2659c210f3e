//! A conduit for tests: answers from a list, and keeps what it was asked.

use core::cell::RefCell;
use std::vec::Vec;

use crate::{Conduit, REGISTERS};

/// Plays answers in order. A call beyond the last one fails the test.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// X0 and on of each answer; what is not given is zero.
    answers: RefCell<Vec<Vec<u64>>>,
    /// The registers of each call so far.
    pub(crate) calls: RefCell<Vec<[u64; REGISTERS]>>,
}

impl Script {
    pub(crate) fn new<const N: usize>(answers: [&[u64]; N]) -> Self {
        let mut answers: Vec<_> = answers.iter().map(|answer| answer.to_vec()).collect();
        answers.reverse();
        Self {
            answers: RefCell::new(answers),
            calls: RefCell::default(),
        }
    }

    /// Fails unless the calls so far were exactly these. Registers that are not given are zero.
    #[track_caller]
    pub(crate) fn expect_calls<const N: usize>(&self, calls: [&[u64]; N]) {
        let padded: Vec<_> = calls.iter().map(|call| pad(call)).collect();
        assert_eq!(*self.calls.borrow(), padded);
        assert!(self.answers.borrow().is_empty(), "answers are left over");
    }
}

fn pad(given: &[u64]) -> [u64; REGISTERS] {
    let mut registers = [0; REGISTERS];
    registers[..given.len()].copy_from_slice(given);
    registers
}

impl Conduit for Script {
    fn call(&self, registers: [u64; REGISTERS]) -> [u64; REGISTERS] {
        self.calls.borrow_mut().push(registers);
        pad(&self.answers.borrow_mut().pop().expect("an answer is left"))
    }

    fn intermediate_address(&self, address: usize) -> u64 {
        // Shows that addresses go through here: the low bits stay, so alignment can be checked.
        (address as u64 & 0xfff) | 0x7700_0000
    }
}
