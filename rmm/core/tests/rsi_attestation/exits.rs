//! What the host is told while there is a token: nothing of it.

use std::collections::BTreeSet;

use fake_machine::{Instruction, MemoryAccess, SystemEncoding, WaitFor};
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, TRAP_WFI};
use rmm_abi::rmi::run::{RecEnter, RecExit};
use rmm_abi::smc::psci;
use rmm_core::machine::ExceptionKind;
use zerocopy::IntoBytes;

use super::*;

/// How far the token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Requested,
    PutAside,
    Ready,
    Delivered,
}

/// Values that must not come through, of 64 bits each.
fn secrets(request: &TokenRequest) -> BTreeSet<[u8; 8]> {
    let is_telling = |word: &u64| *word > 0xffff_ffff;
    let words = token_words(request).take(60).filter(is_telling);
    let secrets: BTreeSet<_> = words.map(u64::to_le_bytes).collect();
    // Challenge, personalization value, RIM.
    assert_eq!(secrets.len(), 8 + 8 + 4);
    secrets
}

fn assert_tells_nothing(told: &RecExit, secrets: &BTreeSet<[u8; 8]>, when: &str) {
    for (offset, bytes) in told.as_bytes().windows(8).enumerate() {
        let bytes: [u8; 8] = bytes.try_into().unwrap();
        assert!(!secrets.contains(&bytes), "{when}: {offset:#x}");
    }
}

/// Everything that brings a REC out, but for what tells the host something by its nature.
fn instructions() -> Vec<Instruction> {
    vec![
        Instruction::Interruption(ExceptionKind::Irq, u64::MAX),
        Instruction::Interruption(ExceptionKind::Fiq, u64::MAX),
        Instruction::Interruption(ExceptionKind::SError, 0x2f << 26 | 0x11),
        Instruction::Wait(WaitFor::Interrupt),
        Instruction::Access(MemoryAccess::load(Scene::UNMAPPED, 8)),
        Instruction::Access(MemoryAccess::store(Scene::UNMAPPED, 8)),
        Instruction::WriteSystem(SystemEncoding::new(3, 0, 12, 11, 5), 0),
    ]
}

/// The challenge, and then the token, stay in X4 to X30 while the REC exits for one reason after the
/// other. X0 to X3 are what some exits tell.
async fn live(guest: Guest, stage: Stage, request: TokenRequest) {
    let mut init = [fid::ATTESTATION_TOKEN_INIT; 9];
    init[1..].copy_from_slice(&request.challenge);
    assert_eq!(guest.smc(&init).await[0], SUCCESS);
    let size = match stage {
        Stage::Requested => None,
        Stage::PutAside => Some(0),
        Stage::Ready => Some(512),
        Stage::Delivered => Some(PAGE),
    };
    if let Some(size) = size {
        let proceed = [fid::ATTESTATION_TOKEN_CONTINUE, BUFFER, 0, size];
        guest.smc(&proceed).await;
    }
    guest.registers(|registers| {
        for (register, word) in registers.general[4..].iter_mut().zip(token_words(&request)) {
            *register = word;
        }
    });
    for instruction in instructions() {
        guest.registers(|registers| registers.general[..4].fill(0x55));
        guest.finished(instruction).await;
    }
    guest.smc(&[psci::CPU_SUSPEND, 0x55, 0x55, 0x55]).await;
    guest.smc(&[fid::IPA_STATE_SET, 0, 0x1000, 0, 0]).await;
    guest.smc(&[fid::HOST_CALL, 0x3000, 0, 0]).await;
    // The host's answer is in the memory of the call only.
    guest.load(Scene::UNASSIGNED, 8).await;
    unreachable!("the page never comes");
}

#[test]
fn nothing_of_a_token_leaves_the_realm() {
    for stage in [
        Stage::Requested,
        Stage::PutAside,
        Stage::Ready,
        Stage::Delivered,
    ] {
        play(1, |scene, request| {
            let secrets = secrets(&request);
            scene.program(move |guest| live(guest, stage, request));
            let interruptions = u64::from(stage == Stage::PutAside);
            scene.bench.memory().tokens().interrupt(interruptions);
            let mut reasons = BTreeSet::new();
            let mut exits = 0;
            let mut flags = TRAP_WFI;
            loop {
                let mut enter = RecEnter::default();
                enter.flags = flags;
                let told = scene.enter_with(&enter);
                exits += 1;
                reasons.insert(told.exit_reason);
                let when = format!("{stage:?}, exit {exits}");
                assert_tells_nothing(&told, &secrets, &when);
                let is_access = told.esr >> 26 == 0x24;
                if is_access && told.hpfar == Scene::UNASSIGNED >> 12 << 4 {
                    break;
                }
                flags = if is_access { EMULATED_MMIO } else { 0 } | TRAP_WFI;
            }
            assert_eq!(exits, 11 + interruptions);
            assert_eq!(reasons.len(), 7, "{reasons:?}");
        });
    }
}
