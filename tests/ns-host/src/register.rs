//! System registers by name.

/// Reads a system register.
macro_rules! read {
    ($name:expr) => {{
        let value: u64;
        #[allow(unsafe_code)]
        // SAFETY: reading the registers that this program names has no side effect.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $name),
                out(reg) value,
                options(nomem, nostack, preserves_flags),
            );
        };
        value
    }};
}

/// Writes a system register; effective for the instructions after it.
///
/// To be used within `unsafe`: a register may change what memory accesses do.
macro_rules! write {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        core::arch::asm!(
            concat!("msr ", $name, ", {}"),
            "isb",
            in(reg) value,
            options(nostack, preserves_flags),
        );
    }};
}

pub(crate) use {read, write};
