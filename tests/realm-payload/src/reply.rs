//! What the program answers.

use crate::Registers;

/// The first word of a reply.
pub mod outcome {
    /// It is done; results follow.
    pub const DONE: u64 = 0;
    /// An exception at EL1 ended it.
    pub const EXCEPTION: u64 = 1;
    /// The program does not know such a command.
    pub const UNKNOWN_COMMAND: u64 = 2;
    /// A value is not what it has to be.
    pub const CHECK_FAILED: u64 = 3;
}

/// The answer to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is done. The results depend on the command; what it does not use is zero.
    Done([u64; 30]),
    /// An exception at EL1 ended it.
    Exception {
        /// `ESR_EL1`.
        syndrome: u64,
        /// `FAR_EL1`.
        address: u64,
        /// `ELR_EL1`.
        link: u64,
        /// `SPSR_EL1`.
        state: u64,
        /// Offset from `VBAR_EL1` of the vector that was taken.
        vector: u64,
    },
    /// The program does not know such a command, or an argument of it is out of range.
    UnknownCommand,
    /// A value is not what it has to be.
    CheckFailed {
        /// Which one; depends on the command.
        index: u64,
        /// What it has to be.
        expected: u64,
        /// What it is.
        found: u64,
    },
}

impl Reply {
    /// Done, with these results.
    pub fn done(results: &[u64]) -> Self {
        let mut words = [0; 30];
        for (word, result) in words.iter_mut().zip(results) {
            *word = *result;
        }
        Self::Done(words)
    }

    /// The registers that carry the reply.
    pub fn encode(&self) -> Registers {
        let mut registers = Registers::default();
        let (first, rest) = (&mut 0, &mut [0; 30]);
        match *self {
            Self::Done(results) => (*first, *rest) = (outcome::DONE, results),
            Self::Exception {
                syndrome,
                address,
                link,
                state,
                vector,
            } => {
                *first = outcome::EXCEPTION;
                rest[..5].copy_from_slice(&[syndrome, address, link, state, vector]);
            }
            Self::UnknownCommand => *first = outcome::UNKNOWN_COMMAND,
            Self::CheckFailed {
                index,
                expected,
                found,
            } => {
                *first = outcome::CHECK_FAILED;
                rest[..3].copy_from_slice(&[index, expected, found]);
            }
        }
        registers[0] = *first;
        registers[1..].copy_from_slice(rest);
        registers
    }

    /// The reply in these registers; `None` if it is not one.
    pub fn decode(registers: &Registers) -> Option<Self> {
        let [first, rest @ ..] = *registers;
        Some(match first {
            outcome::DONE => Self::Done(rest),
            outcome::EXCEPTION => Self::Exception {
                syndrome: rest[0],
                address: rest[1],
                link: rest[2],
                state: rest[3],
                vector: rest[4],
            },
            outcome::UNKNOWN_COMMAND => Self::UnknownCommand,
            outcome::CHECK_FAILED => Self::CheckFailed {
                index: rest[0],
                expected: rest[1],
                found: rest[2],
            },
            _ => return None,
        })
    }
}

/// The first reply of each REC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The number that the REC was started with.
    pub rec: u64,
    /// Where secondary RECs start.
    pub secondary_entry: u64,
    /// First of [`SCRATCH_PAGES`](crate::SCRATCH_PAGES) pages of this REC, for the host's commands.
    /// Only [`Command::Soak`](crate::Command::Soak) uses them by itself.
    pub scratch: u64,
    /// End of the memory that the program uses.
    pub memory_end: u64,
}

impl Hello {
    /// The reply that says it.
    pub fn reply(&self) -> Reply {
        Reply::done(&[
            self.rec,
            self.secondary_entry,
            self.scratch,
            self.memory_end,
        ])
    }

    /// The hello that a reply is.
    pub const fn from_reply(reply: &Reply) -> Option<Self> {
        match *reply {
            Reply::Done([rec, secondary_entry, scratch, memory_end, ..]) => Some(Self {
                rec,
                secondary_entry,
                scratch,
                memory_end,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_travel() {
        let replies = [
            Reply::done(&[]),
            Reply::done(&[1, 2, u64::MAX]),
            Reply::Done(core::array::from_fn(|n| n as u64 + 1)),
            Reply::Exception {
                syndrome: 1,
                address: 2,
                link: 3,
                state: 4,
                vector: 0x200,
            },
            Reply::UnknownCommand,
            Reply::CheckFailed {
                index: 5,
                expected: 6,
                found: 7,
            },
        ];
        for reply in replies {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        let registers = core::array::from_fn(|n| if n == 0 { 4 } else { 0 });
        assert_eq!(Reply::decode(&registers), None);
    }

    #[test]
    fn words_are_where_the_protocol_puts_them() {
        let exception = Reply::Exception {
            syndrome: 11,
            address: 12,
            link: 13,
            state: 14,
            vector: 15,
        };
        assert_eq!(exception.encode()[..7], [1, 11, 12, 13, 14, 15, 0]);
        let failed = Reply::CheckFailed {
            index: 21,
            expected: 22,
            found: 23,
        };
        assert_eq!(failed.encode()[..5], [3, 21, 22, 23, 0]);
        let hello = Hello {
            rec: 3,
            secondary_entry: 4,
            scratch: 5,
            memory_end: 6,
        };
        assert_eq!(hello.reply().encode()[..6], [0, 3, 4, 5, 6, 0]);
        assert_eq!(Hello::from_reply(&hello.reply()), Some(hello));
        assert_eq!(Hello::from_reply(&Reply::UnknownCommand), None);
    }
}
