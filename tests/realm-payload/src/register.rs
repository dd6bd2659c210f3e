//! System registers by their encoding.

use core::fmt;

/// A system register, or a system instruction (`op0` = 1), as `MRS`, `MSR` and `SYS` encode it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SystemRegister {
    /// 1 to 3.
    pub op0: u8,
    /// 0 to 7.
    pub op1: u8,
    /// 0 to 15.
    pub crn: u8,
    /// 0 to 15.
    pub crm: u8,
    /// 0 to 7.
    pub op2: u8,
}

impl SystemRegister {
    /// `RET`, the instruction that ends a routine around one of the others.
    pub const RETURN: u32 = 0xd65f_03c0;

    /// The register with these fields; `None` if one of them is too large for its place.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Option<Self> {
        if op0 >= 1 && op0 <= 3 && op1 <= 7 && crn <= 15 && crm <= 15 && op2 <= 7 {
            Some(Self {
                op0,
                op1,
                crn,
                crm,
                op2,
            })
        } else {
            None
        }
    }

    /// The fields at the places that they have in instructions.
    const fn fields(self) -> u32 {
        (self.op0 as u32) << 19
            | (self.op1 as u32) << 16
            | (self.crn as u32) << 12
            | (self.crm as u32) << 8
            | (self.op2 as u32) << 5
    }

    /// The instruction that reads the register to X0.
    pub const fn read_instruction(self) -> u32 {
        0xd520_0000 | self.fields()
    }

    /// The instruction that writes X0 to the register.
    pub const fn write_instruction(self) -> u32 {
        0xd500_0000 | self.fields()
    }

    /// The encoding as a word of a command: a byte per field, `op0` in the lowest.
    pub const fn word(self) -> u64 {
        u64::from_le_bytes([self.op0, self.op1, self.crn, self.crm, self.op2, 0, 0, 0])
    }

    /// The register behind a word; `None` if it is not one.
    pub const fn from_word(word: u64) -> Option<Self> {
        match word.to_le_bytes() {
            [op0, op1, crn, crm, op2, 0, 0, 0] => Self::new(op0, op1, crn, crm, op2),
            _ => None,
        }
    }
}

impl fmt::Display for SystemRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            op0,
            op1,
            crn,
            crm,
            op2,
        } = self;
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_an_assembler() {
        let midr = SystemRegister::new(3, 0, 0, 0, 0).unwrap();
        assert_eq!(midr.read_instruction(), 0xd538_0000);
        let tpidr_el0 = SystemRegister::new(3, 3, 13, 0, 2).unwrap();
        assert_eq!(tpidr_el0.read_instruction(), 0xd53b_d040);
        assert_eq!(tpidr_el0.write_instruction(), 0xd51b_d040);
        let mdscr = SystemRegister::new(2, 0, 0, 2, 2).unwrap();
        assert_eq!(mdscr.write_instruction(), 0xd510_0240);
        let dc_civac = SystemRegister::new(1, 3, 7, 14, 1).unwrap();
        assert_eq!(dc_civac.write_instruction(), 0xd50b_7e20);
        assert_eq!(dc_civac.read_instruction(), 0xd52b_7e20);
        assert_eq!(tpidr_el0.to_string(), "S3_3_C13_C0_2");
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        for (op0, op1, crn, crm, op2) in [
            (0, 0, 0, 0, 0),
            (4, 0, 0, 0, 0),
            (3, 8, 0, 0, 0),
            (3, 0, 16, 0, 0),
            (3, 0, 0, 16, 0),
            (3, 0, 0, 0, 8),
        ] {
            assert_eq!(SystemRegister::new(op0, op1, crn, crm, op2), None);
            let word = u64::from_le_bytes([op0, op1, crn, crm, op2, 0, 0, 0]);
            assert_eq!(SystemRegister::from_word(word), None);
        }
        assert_eq!(SystemRegister::from_word(1 << 40 | 3), None);
        let all = SystemRegister::new(3, 7, 15, 14, 6).unwrap();
        assert_eq!(SystemRegister::from_word(all.word()), Some(all));
    }
}
