//! System registers.

/// Reads a system register, by its name or in the encoded form.
macro_rules! read_register {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading the registers that this crate reads has no effect but the value, except
        // for the interrupt acknowledge, which its one caller means.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $name),
                out(reg) value,
                options(nostack, preserves_flags)
            );
        }
        value
    }};
}

/// Writes a system register. The caller argues why that is sound.
macro_rules! write_register {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(
            concat!("msr ", $name, ", {}"),
            in(reg) value,
            options(nostack, preserves_flags)
        );
    }};
}

/// Executes an instruction that has no operands.
macro_rules! execute {
    ($instruction:literal) => {
        core::arch::asm!($instruction, options(nostack, preserves_flags))
    };
}

/// Executes an instruction with one register operand.
macro_rules! execute_with {
    ($instruction:literal, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(
            concat!($instruction, ", {}"),
            in(reg) value,
            options(nostack, preserves_flags)
        );
    }};
}

pub(crate) use {execute, execute_with, read_register, write_register};

/// A field of an ID register.
pub(crate) const fn field(register: u64, lowest_bit: u32) -> u64 {
    register >> lowest_bit & 0xf
}
