use super::*;
use crate::Registers;

fn samples() -> Vec<Command> {
    let register = SystemRegister::new(3, 3, 14, 0, 2).unwrap();
    let mut samples = vec![
        Command::Smc(core::array::from_fn(|n| n as u64 + 100)),
        Command::Hvc(core::array::from_fn(|n| n as u64 + 200)),
        Command::Store {
            address: 8,
            size: Size::Word,
            value: u64::MAX,
        },
        Command::LoadPair { address: 16 },
        Command::Fetch { address: 20 },
        Command::AtomicAdd {
            address: 24,
            value: 5,
        },
        Command::CleanInvalidate { address: 64 },
        Command::LoadTranslated {
            offset: TRANSLATED_SPAN - 1,
            table: 0x4000,
        },
        Command::ReadRegister(register),
        Command::WriteRegister {
            register,
            value: 77,
        },
        Command::Wfi,
        Command::Wfe,
        Command::Wfit { deadline: 1 },
        Command::Wfet { deadline: 2 },
        Command::Yield { count: 3 },
        Command::SetDaif(0x3c0),
        Command::MapUnprotected(UnprotectedMemory::Device),
        Command::MapUnprotected(UnprotectedMemory::NonCacheable),
        Command::InterruptCounts,
        Command::SendSgi(1 << 40),
        Command::Soak {
            steps: 1,
            seed: u64::MAX,
            device: 3,
        },
        Command::Time,
    ];
    for size in Size::ALL {
        for (sign_extend, wide) in [(false, false), (false, true), (true, false), (true, true)] {
            let load = Load {
                address: 0x1000,
                size,
                sign_extend,
                wide,
            };
            if load.exists() {
                samples.push(Command::Load(load));
            }
        }
    }
    for kind in Kind::ALL {
        samples.push(Command::Fill { kind, seed: 9 });
        samples.push(Command::Check { kind, seed: 0xffff });
    }
    for exit in Exit::ALL {
        samples.push(Command::CanaryExit {
            exit,
            seed: 1,
            address: 2,
        });
    }
    for operation in Operation::ALL {
        samples.push(Command::Measure {
            operation,
            repetitions: 4,
            address: 5,
        });
    }
    samples.push(Command::Attest {
        challenge: [11, 12, 13, 14, 15, 16, 17, 18],
    });
    for (enable, split) in [(false, false), (false, true), (true, false), (true, true)] {
        samples.push(Command::Interrupts { enable, split });
        samples.push(Command::Timer {
            timer: if split {
                TimerKind::Virtual
            } else {
                TimerKind::Physical
            },
            ticks: 6,
            enable,
        });
    }
    samples
}

#[test]
fn commands_travel() {
    let samples = samples();
    let mut seen = std::collections::HashSet::new();
    for command in &samples {
        let registers = command.encode();
        assert_eq!(Command::decode(&registers), Some(*command));
        assert!(seen.insert(registers), "{command:?}");
    }
    let numbers: std::collections::BTreeSet<_> =
        samples.iter().map(|command| command.encode()[0]).collect();
    assert!(numbers.iter().copied().eq(1..=29), "{numbers:?}");
}

#[test]
fn registers_of_a_call_are_the_nineteen_words_from_the_second_on() {
    let registers = Command::Smc(core::array::from_fn(|n| n as u64 + 50)).encode();
    assert_eq!(registers[0], 1);
    assert_eq!(registers[1], 50);
    assert_eq!(registers[18], 67);
    assert_eq!(registers[19..], [0; 12]);
}

#[test]
fn what_is_no_command_is_not_decoded() {
    let decode = |words: &[u64]| {
        let mut registers = Registers::default();
        registers[..words.len()].copy_from_slice(words);
        Command::decode(&registers)
    };
    for words in [
        &[0][..],
        &[30],
        &[u64::MAX],
        &[3, 0x1000, 3, 0],
        &[3, 0x1000, 8, 0],
        &[3, 0x1000, 8, 3],
        &[3, 0x1000, 4, 1],
        &[3, 0x1000, 1, 4],
        &[4, 0x1000, 16, 0],
        &[9, TRANSLATED_SPAN, 0],
        &[10, 0],
        &[11, 0x10_0000_0003, 0],
        &[17, 1],
        &[17, 0x400],
        &[18, 2],
        &[19, 11, 0],
        &[19, 0, 0x1_0000],
        &[20, 11, 0],
        &[21, Exit::ALL.len() as u64],
        &[22, 2, 0],
        &[22, 0, 2],
        &[24, 2, 0, 0],
        &[24, 0, 0, 2],
        &[28, Operation::ALL.len() as u64],
    ] {
        assert_eq!(decode(words), None, "{words:x?}");
    }
}

#[test]
fn loads_extend_as_their_instructions_do() {
    let load = |size, sign_extend, wide| Load {
        address: 0,
        size,
        sign_extend,
        wide,
    };
    let value = 0xfedc_ba98_8765_43a1;
    assert_eq!(load(Size::Byte, false, false).extend(value), 0xa1);
    assert_eq!(load(Size::Byte, true, false).extend(value), 0xffff_ffa1);
    assert_eq!(load(Size::Byte, true, true).extend(value), !0x5e);
    assert_eq!(load(Size::Halfword, true, true).extend(value), 0x43a1);
    assert_eq!(load(Size::Word, false, false).extend(value), 0x8765_43a1);
    assert_eq!(
        load(Size::Word, true, true).extend(value),
        0xffff_ffff_8765_43a1
    );
    assert_eq!(load(Size::Doubleword, false, true).extend(value), value);
}

#[test]
fn counts_of_interrupts_are_words() {
    let count = InterruptCount {
        intid: 0xab_cdef,
        group: 1,
        count: 0xffff_fffe,
    };
    assert_eq!(count.word(), 0x80ab_cdef_ffff_fffe);
    assert_eq!(InterruptCount::from_word(count.word()), count);
}
