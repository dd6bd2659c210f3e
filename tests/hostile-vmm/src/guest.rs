//! Programs for Realms, short and hostile: a few random steps, over and over.

use rmm_abi::rsi;
use rmm_abi::smc::psci;

use crate::random::Random;

const BRANCH: u32 = 0x1400_0000;
const WAIT_FOR_INTERRUPT: u32 = 0xd503_207f;
const SMC: u32 = 0xd400_0003;
/// `msr icc_sgi1r_el1, x1`
const SEND_INTERRUPT: u32 = 0xd518_cba1;
/// `msr cntv_cval_el0, x1` and `msr cntv_ctl_el0, x2`
const SET_TIMER: [u32; 2] = [0xd51b_e341, 0xd51b_e322];

/// `movz` and three `movk`: a constant into a register.
fn load(program: &mut Vec<u32>, register: u32, value: u64) {
    let quarters = value.to_le_bytes();
    for (quarter, bytes) in (0..).zip(quarters.as_chunks().0) {
        let immediate = u32::from(u16::from_le_bytes(*bytes));
        let opcode = if quarter == 0 {
            0xd280_0000
        } else {
            0xf280_0000
        };
        program.push(opcode | quarter << 21 | immediate << 5 | register);
    }
}

fn call(program: &mut Vec<u32>, function: u64, arguments: &[u64]) {
    load(program, 0, function);
    for (register, argument) in (1..).zip(arguments) {
        load(program, register, *argument);
    }
    program.push(SMC);
}

/// A page of instructions for a Realm whose RAM is at `ram` with `size` bytes, and whose shared
/// addresses have `shared` set.
pub(crate) fn program(random: &mut Random, ram: u64, size: u64, shared: u64) -> [u8; 4096] {
    let mut program = Vec::new();
    for _ in 0..=random.below(6) {
        let place = (ram + random.below(size.max(1))) & !0xfff;
        let place = if random.one_in(8) {
            random.word()
        } else {
            place
        };
        match random.below(12) {
            0 => program.push(WAIT_FOR_INTERRUPT),
            // str x3, [x1]
            1 | 2 => {
                load(&mut program, 1, place);
                program.push(0xf900_0023);
            }
            // Shared memory, and devices: ldr and str of all sizes.
            3 | 4 => {
                let device = random.pick(&[0x0800_0000, 0x080a_0000, 0x0900_0000, 0x0a00_0000]);
                let offset = random.below(0x2000) & !7;
                let address = if random.one_in(2) {
                    place
                } else {
                    device + offset
                };
                load(&mut program, 1, address | shared);
                program.push(random.pick(&[
                    0xf940_0022,
                    0xb940_0022,
                    0x3940_0022,
                    0xf900_0022,
                    0xb900_0022,
                    0x3900_0022,
                ]));
            }
            5 | 6 => {
                let ripas = random.below(3);
                let top = place.wrapping_add(random.pick(&[0x1000, 0x20_0000, 0x40_0000]));
                call(
                    &mut program,
                    rsi::fid::IPA_STATE_SET,
                    &[place, top, ripas, random.below(2)],
                );
            }
            7 => call(
                &mut program,
                random.pick(&[psci::CPU_ON, psci::AFFINITY_INFO, psci::CPU_SUSPEND]),
                &[random.below(5), place, 0],
            ),
            8 if random.one_in(4) => call(
                &mut program,
                random.pick(&[psci::CPU_OFF, psci::SYSTEM_OFF, psci::SYSTEM_RESET]),
                &[],
            ),
            9 => call(&mut program, rsi::fid::HOST_CALL, &[place]),
            10 => {
                load(&mut program, 1, random.word());
                program.push(SEND_INTERRUPT);
            }
            _ => {
                load(&mut program, 1, random.below(1 << 40));
                load(&mut program, 2, random.below(4));
                program.extend(SET_TIMER);
            }
        }
    }
    let back = u32::try_from(program.len()).unwrap_or(0).wrapping_neg();
    program.push(BRANCH | back & 0x03ff_ffff);
    let mut page = [0; 4096];
    for (bytes, instruction) in page.as_chunks_mut().0.iter_mut().zip(program) {
        *bytes = instruction.to_le_bytes();
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instructions(page: &[u8; 4096]) -> Vec<u32> {
        let words = page.as_chunks().0.iter();
        words.map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn a_constant_is_put_together_from_quarters() {
        let mut program = Vec::new();
        load(&mut program, 3, 0x0123_4567_89ab_cdef);
        // As `llvm-mc` has them: movz x3, #0xcdef; movk x3, #0x89ab, lsl #16; …
        assert_eq!(
            program,
            [0xd299_bde3, 0xf2b1_3563, 0xf2c8_ace3, 0xf2e0_2463]
        );
    }

    #[test]
    fn every_program_goes_back_to_its_first_instruction() {
        let mut random = Random::new(5);
        for _ in 0..1000 {
            let page = program(&mut random, 0x8000_0000, 1 << 21, 1 << 39);
            let words = instructions(&page);
            let last = words.iter().rposition(|word| *word != 0).unwrap();
            let back = words[last] ^ BRANCH;
            assert_eq!(back << 6, u32::try_from(last).unwrap().wrapping_neg() << 6);
            assert_eq!(words[last] >> 26, 0b101);
        }
    }
}
