//! The way from a Realm to its RMM.

/// Registers that take part in a call: X0 to X17 (DEN0028, SMC64).
pub const REGISTERS: usize = 18;

/// Something that calls take from a Realm to its RMM.
pub trait Conduit {
    /// Makes one call with these values in X0 to X17 and returns what X0 to X17 hold after it.
    fn call(&self, registers: [u64; REGISTERS]) -> [u64; REGISTERS];

    /// The intermediate physical address of an object of this program. Guests that map their
    /// memory one to one need no other than this one.
    fn intermediate_address(&self, address: usize) -> u64 {
        address as u64
    }
}

/// The address by which the RMM reaches an object that it is going to read or write.
pub(crate) fn buffer_address<T>(conduit: &impl Conduit, object: &mut T) -> u64 {
    conduit.intermediate_address(core::ptr::from_mut(object).expose_provenance())
}

/// A call of `function` with arguments from X1 on; every other register is zero (DEN0137:
/// what a command has no use for should be zero).
pub(crate) fn call(conduit: &impl Conduit, function: u64, arguments: &[u64]) -> [u64; REGISTERS] {
    let mut registers = [0; REGISTERS];
    registers[0] = function;
    for (register, argument) in registers[1..].iter_mut().zip(arguments) {
        *register = *argument;
    }
    conduit.call(registers)
}
