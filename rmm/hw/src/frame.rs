//! Registers at an exception.

/// Registers at an exception, as `vectors.S` saves them.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) x: [u64; 31],
    pub(crate) elr: u64,
    pub(crate) spsr: u64,
    pub(crate) esr: u64,
    pub(crate) far: u64,
    pub(crate) sp: u64,
}

const _: () = assert!(size_of::<Frame>() == 36 * 8);
