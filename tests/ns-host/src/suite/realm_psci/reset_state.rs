//! What a REC finds in its registers when it is switched on.

use rmm_abi::smc::psci;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Options, Replied, RunningRealm, SPARE, Vcpu, command};
use crate::rmi::commands;
use crate::suite::Host;

/// Number of system registers that the probe writes down.
const SYSTEM: usize = 6;

/// A program that writes down X0 to X30 and some system registers, and goes on to the payload with
/// its number in X0. It is the first thing that the REC executes.
fn probe(entry: u64, number: u16) -> [u32; 52] {
    /// `msr tpidr_el0, x0`
    const SAVE: u32 = 0xd51b_d040;
    /// `mrs x1, tpidr_el0`
    const RESTORE: u32 = 0xd53b_d041;
    /// `adr x0, #0x800` from the second instruction: 0x7fc behind it.
    const ADDRESS: u32 = 0x1000_0000 | (0x7fc >> 2) << 5;
    /// `str x1, [x0, #…]`
    const STORE: u32 = 0xf900_0001;
    /// `mrs x1, …` of `SCTLR_EL1`, `CurrentEL`, `DAIF`, `SPSel`, `MDSCR_EL1`, `CPACR_EL1`.
    const READS: [u32; SYSTEM] = [
        0xd538_1001,
        0xd538_4241,
        0xd53b_4221,
        0xd538_4201,
        0xd530_0241,
        0xd538_1041,
    ];
    /// `nop`
    const NOTHING: u32 = 0xd503_201f;
    let mut code = [NOTHING; 52];
    code[0] = SAVE;
    code[1] = ADDRESS;
    for (register, instruction) in (1..=30).zip(&mut code[2..]) {
        // str x<register>, [x0, #8 * register]
        *instruction = 0xf900_0000 | register << 10 | register;
    }
    code[32] = RESTORE;
    code[33] = STORE;
    for (index, pair) in (31..).zip(code[34..34 + 2 * SYSTEM].chunks_exact_mut(2)) {
        pair[0] = READS[index as usize - 31];
        pair[1] = STORE | index << 10;
    }
    // movz x0, #number; ldr x1, [pc, #8]; br x1; the address.
    code[46] = 0xd280_0000 | u32::from(number) << 5;
    code[47] = 0x5800_0000 | 2 << 5 | 1;
    code[48] = 0xd61f_0020;
    let [low, high] = [entry, entry >> 32].map(|half| u32::try_from(half & 0xffff_ffff));
    code[49] = low.unwrap_or(0);
    code[50] = high.unwrap_or(0);
    code
}

fn load(vcpu: &mut Vcpu, address: u64) -> Outcome<u64> {
    let [value, ..] = vcpu.command(&command::load(address, 8))?.done("load")?;
    Ok(value)
}

pub(crate) fn state_after_cpu_on(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.realm.supply(SPARE)?;
    let entry = realm.vcpus[0].hello.secondary_entry;
    let vcpu = realm.first();
    for (address, pair) in (SPARE..).step_by(8).zip(probe(entry, 1).chunks_exact(2)) {
        let value = u64::from(pair[1]) << 32 | u64::from(pair[0]);
        vcpu.command(&command::store(address, 8, value))?
            .done("store")?;
    }
    let record = SPARE + 0x800;
    // The first time, and again after it ran and went off: nothing of that may be left.
    for context in [0x1234_5678_9abc_def0, u64::MAX] {
        let (calling, target) = (realm.vcpus[0].rec, realm.vcpus[1].rec);
        let call = [psci::CPU_ON, 1, SPARE, context];
        let vcpu = realm.first();
        vcpu.begin(&command::smc(&call))?;
        commands::psci_complete(calling, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
        let report = vcpu.run()?;
        vcpu.end_call(&report, &call, 0)?;
        realm.vcpus[1].enter.gprs = [0xbad; 31];
        realm.vcpus[1].greet()?;
        let vcpu = realm.first();
        ensure_word!(load(vcpu, record)?, context, "X0 after CPU_ON");
        for register in 1..=30 {
            let seen = load(vcpu, record + 8 * register)?;
            ensure_word!(seen, 0, "X{register} after CPU_ON");
        }
        let mut system = [0; SYSTEM];
        for (index, value) in (31..).zip(&mut system) {
            *value = load(vcpu, record + 8 * index)?;
        }
        let [sctlr, level, daif, stack, mdscr, cpacr] = system;
        // MMU, caches and alignment checks off, little-endian.
        ensure!(
            sctlr & (1 << 0 | 1 << 1 | 1 << 2 | 1 << 12 | 3 << 24) == 0,
            "SCTLR_EL1 after CPU_ON is {sctlr:#x}"
        );
        ensure_word!(level, 1 << 2, "CurrentEL after CPU_ON");
        ensure_word!(daif, 0xf << 6, "DAIF after CPU_ON");
        ensure_word!(stack, 1, "SPSel after CPU_ON");
        ensure_word!(mdscr & (1 << 15 | 1 << 13 | 1), 0, "MDSCR_EL1 after CPU_ON");
        ensure_word!(cpacr, 0, "CPACR_EL1 after CPU_ON");
        realm.vcpus[1].begin(&command::smc(&[psci::CPU_OFF]))?;
    }
    ensure!(GRANULE > 0x800 + 8 * 37, "the record does not fit its page");
    realm.tear_down()
}
