//! Random histories: vCPUs on list registers against the reference, and vCPUs that react late.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use realm_kmod_core::vgic::SgiRegister;

use crate::machine::{
    CTLR, ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISENABLER, ISPENDR, Machine, in_distributor,
    in_redistributor,
};
use crate::reference::{Name, Reference, name};

const VCPUS: usize = 3;
const PRIVATE: [u32; 4] = [0, 5, 27, 30];
const SHARED: [u32; 8] = [32, 33, 40, 41, 63, 64, 80, 95];

/// What can happen. `on` is the vCPU that does it, `of` the one whose interrupt it is.
#[derive(Clone, Debug)]
enum Step {
    Line(Name, bool),
    Sgi { on: usize, intid: u32, list: u64 },
    Enable { on: usize, of: Name, enabled: bool },
    Pending { on: usize, of: Name, pending: bool },
    ClearActive { on: usize, of: Name },
    Priority { on: usize, of: Name, priority: u8 },
    Group { on: usize, of: Name, group_1: bool },
    Edge { on: usize, spi: u32, edge: bool },
    Route { on: usize, spi: u32, to: usize },
    Forward { on: usize, groups: u8 },
    Mask { on: usize, mask: u8 },
    Take { on: usize, groups: u8 },
    Acknowledge { on: usize },
    End { on: usize },
    Deactivate { on: usize, index: usize },
    Leave { on: usize },
    Enter { on: usize },
    Resume { on: usize },
    Settle,
}

fn interrupt() -> impl Strategy<Value = Name> {
    prop_oneof![
        (0..VCPUS, prop::sample::select(&PRIVATE[..])),
        prop::sample::select(&SHARED[..]).prop_map(|spi| (0, spi)),
        prop::sample::select(&SHARED[..]).prop_map(|spi| (0, spi)),
    ]
}

fn priority() -> impl Strategy<Value = u8> {
    (0..31u8).prop_map(|priority| priority << 3)
}

fn step() -> impl Strategy<Value = Step> {
    let on = || 0..VCPUS;
    let spi = || prop::sample::select(&SHARED[..]);
    prop_oneof![
        8 => (interrupt(), any::<bool>()).prop_map(|(of, up)| Step::Line(of, up)),
        3 => (on(), prop::sample::select(&PRIVATE[..2]), 0..8u64)
            .prop_map(|(on, intid, list)| Step::Sgi { on, intid, list }),
        2 => (on(), interrupt(), any::<bool>())
            .prop_map(|(on, of, enabled)| Step::Enable { on, of, enabled }),
        2 => (on(), interrupt(), any::<bool>())
            .prop_map(|(on, of, pending)| Step::Pending { on, of, pending }),
        1 => (on(), interrupt()).prop_map(|(on, of)| Step::ClearActive { on, of }),
        2 => (on(), interrupt(), priority())
            .prop_map(|(on, of, priority)| Step::Priority { on, of, priority }),
        1 => (on(), interrupt(), any::<bool>())
            .prop_map(|(on, of, group_1)| Step::Group { on, of, group_1 }),
        1 => (on(), spi(), any::<bool>()).prop_map(|(on, spi, edge)| Step::Edge { on, spi, edge }),
        // One more than there are.
        2 => (on(), spi(), 0..=VCPUS).prop_map(|(on, spi, to)| Step::Route { on, spi, to }),
        1 => (on(), 0..4u8).prop_map(|(on, groups)| Step::Forward { on, groups }),
        1 => (on(), priority()).prop_map(|(on, mask)| Step::Mask { on, mask: mask.max(0x60) }),
        1 => (on(), 0..4u8).prop_map(|(on, groups)| Step::Take { on, groups }),
        12 => on().prop_map(|on| Step::Acknowledge { on }),
        10 => on().prop_map(|on| Step::End { on }),
        4 => (on(), 0..8usize).prop_map(|(on, index)| Step::Deactivate { on, index }),
        1 => on().prop_map(|on| Step::Leave { on }),
        2 => on().prop_map(|on| Step::Enter { on }),
        2 => on().prop_map(|on| Step::Resume { on }),
        2 => Just(Step::Settle),
    ]
}

/// Both of them, step by step.
struct Both {
    machine: Machine,
    reference: Reference,
}

impl Both {
    fn new(list_registers: usize, separate: bool) -> Self {
        let mut both = Self {
            machine: Machine::new(VCPUS, list_registers),
            reference: Reference::new(VCPUS, &PRIVATE, &SHARED),
        };
        for vcpu in 0..VCPUS {
            both.machine.interface(vcpu, |cpu| cpu.separate = separate);
            both.machine.resume(vcpu);
            both.reference.interfaces[vcpu].separate = separate;
        }
        for of in both.names() {
            both.step(&Step::Enable {
                on: 0,
                of,
                enabled: true,
            });
        }
        both
    }

    fn names(&self) -> Vec<Name> {
        self.reference.interrupts.keys().copied().collect()
    }

    fn step(&mut self, step: &Step) {
        let Self { machine, reference } = self;
        match *step {
            Step::Line(of, up) if of.1 >= 16 => {
                line(machine, of, up);
                let it = reference.of(of);
                it.line = up;
                it.latched |= up && it.edge;
                // A line that falls is noticed at the next exit.
                (0..VCPUS).for_each(|vcpu| machine.resume(vcpu));
            }
            Step::Sgi { on, intid, list } => {
                machine.sgi(on, SgiRegister::Group1, u64::from(intid) << 24 | list);
                (0..VCPUS)
                    .filter(|vcpu| list >> vcpu & 1 != 0)
                    .for_each(|vcpu| reference.of((vcpu, intid)).latched = true);
            }
            Step::Enable { on, of, enabled } => {
                let bank = if enabled { ISENABLER } else { ICENABLER };
                machine.write_bit(on, of.0, bank, of.1);
                reference.of(of).enabled = enabled;
            }
            Step::Pending { on, of, pending } => {
                let bank = if pending { ISPENDR } else { ICPENDR };
                machine.write_bit(on, of.0, bank, of.1);
                reference.of(of).latched = pending;
            }
            Step::ClearActive { on, of } => self.clear_active(on, of),
            Step::Priority { on, of, priority } => {
                machine.set_priority(on, of.0, of.1, priority);
                reference.of(of).priority = priority;
            }
            Step::Group { on, of, group_1 } => {
                machine.set_group(on, of.0, of.1, group_1);
                reference.of(of).group_1 = group_1;
            }
            Step::Edge { on, spi, edge } => {
                machine.set_edge(on, spi, edge);
                reference.of((0, spi)).edge = edge;
            }
            Step::Route { on, spi, to } => {
                machine.route(on, spi, to as u64);
                reference.of((0, spi)).target = Some(to);
            }
            Step::Forward { on, groups } => {
                machine.write(on, in_distributor(CTLR), 4, u64::from(groups));
                reference.groups = groups;
            }
            Step::Mask { on, mask } if machine.inside[on] => {
                machine.interface(on, |cpu| cpu.priority_mask = mask);
                reference.interfaces[on].priority_mask = mask;
            }
            Step::Take { on, groups } if machine.inside[on] => {
                machine.interface(on, |cpu| cpu.groups = groups);
                reference.interfaces[on].groups = groups;
            }
            Step::Acknowledge { on } => self.acknowledge(on),
            Step::End { on } => self.end(on),
            Step::Deactivate { on, index } => self.deactivate(on, index),
            Step::Leave { on } if machine.inside[on] => machine.leave(on),
            Step::Enter { on } if !machine.inside[on] => machine.enter(on),
            Step::Resume { on } => machine.resume(on),
            // A vCPU that is outside does nothing.
            _ => {}
        }
    }

    /// By a register, and then the vCPU drops the priority, if it has not done so. With others
    /// active there, that might be taken for the end of one of them: it is not what `ICACTIVER` is
    /// for.
    fn clear_active(&mut self, on: usize, of: Name) {
        let Self { machine, reference } = self;
        let running_on = (0..VCPUS).find(|&vcpu| {
            let running = &reference.interfaces[vcpu].running;
            running.iter().any(|&(intid, _)| name(vcpu, intid) == of)
        });
        if let Some(vcpu) = running_on {
            let actives = reference.interrupts.values();
            let count = actives.filter(|it| it.active == Some(vcpu)).count();
            if count > 1 || !machine.inside[vcpu] {
                return;
            }
        }
        machine.deactivated.clear();
        machine.write_bit(on, of.0, ICACTIVER, of.1);
        let reported = reference.deactivate(of);
        // The end of an edge may be known only now.
        assert!(reference.of(of).edge || machine.deactivated.contains(&of.1) == reported);
        if let Some(vcpu) = running_on {
            machine.end(vcpu, of.1);
            reference.end(vcpu);
        }
    }

    fn acknowledge(&mut self, on: usize) {
        if !self.machine.inside[on] {
            return;
        }
        let candidates = self.reference.candidates(on);
        let taken = self.machine.acknowledge(on);
        match taken {
            None => assert_eq!(candidates, [], "vCPU {on} takes nothing"),
            Some(intid) => {
                assert!(
                    candidates.contains(&intid),
                    "vCPU {on} takes {intid} instead of {candidates:?}"
                );
                self.reference.acknowledge(on, intid);
            }
        }
    }

    fn end(&mut self, on: usize) {
        let Some(&(intid, _)) = self.reference.interfaces[on].running.last() else {
            return;
        };
        if !self.machine.inside[on] {
            return;
        }
        self.machine.deactivated.clear();
        self.machine.end(on, intid);
        let reported = self.reference.end(on);
        // An edge has no maintenance interrupt to tell of its end at once.
        if !self.reference.of(name(on, intid)).edge {
            assert_eq!(self.machine.deactivated.contains(&intid), reported);
        }
    }

    /// `ICC_DIR_EL1`, for one of the interrupts that this vCPU has dropped the priority of.
    fn deactivate(&mut self, on: usize, index: usize) {
        let interface = &self.reference.interfaces[on];
        if !interface.separate || !self.machine.inside[on] {
            return;
        }
        let dropped: Vec<Name> = self
            .reference
            .interrupts
            .iter()
            .filter(|(of, it)| {
                // An SPI may be deactivated anywhere.
                it.active.is_some_and(|vcpu| {
                    (vcpu == on || of.1 >= 32)
                        && !self.reference.interfaces[vcpu]
                            .running
                            .iter()
                            .any(|&(intid, _)| intid == of.1)
                })
            })
            .map(|(&of, _)| of)
            .collect();
        if let Some(&of) = dropped.get(index) {
            self.machine.deactivate(on, of.1);
            self.reference.deactivate(of);
        }
    }

    /// What can be asked without changing anything.
    fn check(&mut self) {
        for vcpu in 0..VCPUS {
            if !self.machine.inside[vcpu] {
                assert_eq!(
                    self.machine.vgic.has_pending(vcpu),
                    self.reference.has_pending(vcpu),
                    "vCPU {vcpu} waits"
                );
            }
        }
    }

    /// All registers, when nobody runs.
    fn check_registers(&mut self) {
        for vcpu in 0..VCPUS {
            if self.machine.inside[vcpu] {
                self.machine.leave(vcpu);
            }
        }
        for (of, it) in self.reference.interrupts.clone() {
            for (bank, value) in [
                (ISENABLER, it.enabled),
                (ISPENDR, it.pending()),
                (ISACTIVER, it.active.is_some()),
            ] {
                let read = self.machine.read_bit(0, of.0, bank, of.1);
                assert_eq!(read, value, "{of:?} in {bank:#x}");
            }
        }
    }
}

fn line(machine: &mut Machine, of: Name, up: bool) {
    if of.1 < 32 {
        machine.ppi(of.0, of.1, up);
    } else {
        machine.spi(of.1, up);
    }
}

fn cases() -> u32 {
    std::env::var("CLOISTER_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(100)
}

fn histories(length: usize) -> impl Strategy<Value = (usize, bool, Vec<Step>)> {
    let list_registers = prop_oneof![Just(1usize), Just(2), Just(3), Just(4), Just(16)];
    (
        list_registers,
        any::<bool>(),
        prop::collection::vec(step(), 1..length),
    )
}

fn run(test: impl Fn(usize, bool, &[Step])) {
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&histories(400), |(list_registers, separate, steps)| {
            test(list_registers, separate, &steps);
            Ok(())
        })
        .unwrap();
}

/// vCPUs that exit at once when they are kicked cannot be told from those of the reference: each
/// acknowledgement gives one of the interrupts that it should, and nothing if nothing is there.
#[test]
fn as_the_reference() {
    run(|list_registers, separate, steps| {
        let mut both = Both::new(list_registers, separate);
        for step in steps {
            let waiting: Vec<usize> = (0..VCPUS)
                .filter(|&vcpu| !both.machine.inside[vcpu] && !both.machine.vgic.has_pending(vcpu))
                .collect();
            both.machine.woken = vec![false; VCPUS];
            both.step(step);
            both.check();
            for vcpu in waiting {
                let is_own = matches!(
                    *step,
                    Step::Sgi { on, .. }
                        | Step::Enable { on, .. }
                        | Step::Pending { on, .. }
                        | Step::ClearActive { on, .. }
                        | Step::Priority { on, .. }
                        | Step::Group { on, .. }
                        | Step::Edge { on, .. }
                        | Step::Route { on, .. }
                        | Step::Forward { on, .. }
                        | Step::Mask { on, .. }
                        | Step::Take { on, .. }
                        | Step::Leave { on }
                    if on == vcpu);
                assert!(
                    both.machine.inside[vcpu]
                        || !both.machine.vgic.has_pending(vcpu)
                        || both.machine.woken[vcpu]
                        || is_own,
                    "vCPU {vcpu} is not woken"
                );
            }
        }
        both.check_registers();
    });
}

/// vCPUs that exit some time after they were kicked: no edge is lost, none is taken more often than
/// it came, and no SPI is active on two vCPUs. (Two edges before an acknowledgement may be taken for
/// one before and one after it.)
#[test]
fn late_vcpus_lose_and_double_nothing() {
    run(|list_registers, _, steps| {
        let mut it = Late::new(list_registers);
        for step in steps {
            it.step(step);
        }
        it.finish();
    });
}

/// What edges have come and were taken.
struct Late {
    machine: Machine,
    /// For each interrupt: edges that came, without those for which it was taken.
    came: BTreeMap<Name, usize>,
    /// Interrupts that have not been taken since the last edge.
    owed: BTreeSet<Name>,
    /// Interrupts that are active on each vCPU, the last one on top.
    running: Vec<Vec<u32>>,
}

impl Late {
    fn new(list_registers: usize) -> Self {
        let mut machine = Machine::new(VCPUS, list_registers);
        for spi in SHARED {
            machine.set_edge(0, spi, true);
            machine.write_bit(0, 0, ISENABLER, spi);
        }
        machine.lazy = true;
        Self {
            machine,
            came: BTreeMap::new(),
            owed: BTreeSet::new(),
            running: vec![Vec::new(); VCPUS],
        }
    }

    fn owe(&mut self, of: Name) {
        *self.came.entry(of).or_default() += 1;
        self.owed.insert(of);
    }

    fn step(&mut self, step: &Step) {
        let machine = &mut self.machine;
        match *step {
            Step::Line(of, _) if of.1 >= 32 => {
                machine.spi(of.1, true);
                machine.spi(of.1, false);
                self.owe(of);
            }
            Step::Sgi { on, intid, list } => {
                machine.sgi(on, SgiRegister::Group1, u64::from(intid) << 24 | list);
                for vcpu in (0..VCPUS).filter(|vcpu| list >> vcpu & 1 != 0) {
                    self.owe((vcpu, intid));
                }
            }
            Step::Pending {
                on,
                of,
                pending: true,
            } if of.1 < 16 || of.1 >= 32 => {
                machine.write_bit(on, of.0, ISPENDR, of.1);
                self.owe(of);
            }
            Step::Enable { on, of, enabled } => {
                let bank = if enabled { ISENABLER } else { ICENABLER };
                machine.write_bit(on, of.0, bank, of.1);
            }
            Step::Priority { on, of, priority } => {
                machine.set_priority(on, of.0, of.1, priority);
            }
            Step::Group { on, of, group_1 } => machine.set_group(on, of.0, of.1, group_1),
            Step::Route { on, spi, to } => machine.route(on, spi, to as u64),
            Step::Forward { on, groups } => {
                machine.write(on, in_distributor(CTLR), 4, u64::from(groups));
            }
            Step::Mask { on, mask } if machine.inside[on] => {
                machine.interface(on, |cpu| cpu.priority_mask = mask);
            }
            Step::Take { on, groups } if machine.inside[on] => {
                machine.interface(on, |cpu| cpu.groups = groups);
            }
            Step::Acknowledge { on } => {
                self.acknowledge(on);
            }
            Step::End { on } => self.end(on),
            Step::Leave { on } if machine.inside[on] => machine.leave(on),
            Step::Enter { on } if !machine.inside[on] => machine.enter(on),
            Step::Resume { on } => machine.resume(on),
            Step::Settle => machine.settle(),
            _ => {}
        }
    }

    fn acknowledge(&mut self, on: usize) -> bool {
        if !self.machine.inside[on] {
            return false;
        }
        let Some(intid) = self.machine.acknowledge(on) else {
            return false;
        };
        self.owed.remove(&name(on, intid));
        let came = self.came.entry(name(on, intid)).or_default();
        *came = came.checked_sub(1).expect("taken once too often");
        if intid >= 32 {
            assert!(
                self.running.iter().all(|active| !active.contains(&intid)),
                "{intid} is active already"
            );
        }
        self.running[on].push(intid);
        true
    }

    fn end(&mut self, on: usize) {
        if self.machine.inside[on]
            && let Some(intid) = self.running[on].pop()
        {
            self.machine.end(on, intid);
        }
    }

    /// Everything is allowed, and all vCPUs take and end all there is.
    fn finish(&mut self) {
        self.machine.lazy = false;
        for vcpu in 0..VCPUS {
            if !self.machine.inside[vcpu] {
                self.machine.enter(vcpu);
            }
            self.machine.interface(vcpu, |cpu| {
                cpu.groups = 3;
                cpu.priority_mask = 0xff;
            });
            for sgi in [0, 5] {
                self.machine.write_bit(0, vcpu, ISENABLER, sgi);
            }
        }
        self.machine.write(0, in_distributor(CTLR), 4, 3);
        for spi in SHARED {
            self.machine.write_bit(0, 0, ISENABLER, spi);
            self.machine.route(0, spi, u64::from(spi) % VCPUS as u64);
        }
        for _ in 0..1000 {
            let mut is_done = true;
            for vcpu in 0..VCPUS {
                is_done &= !self.acknowledge(vcpu) && self.running[vcpu].is_empty();
                self.end(vcpu);
            }
            if is_done {
                break;
            }
        }
        assert!(self.owed.is_empty(), "lost: {:?}", self.owed);
        for vcpu in 0..VCPUS {
            self.machine.leave(vcpu);
        }
        for bank in [ISPENDR, ISACTIVER] {
            for register in [4, 8] {
                let register = in_distributor(bank + register);
                assert_eq!(self.machine.read(0, register, 4), 0);
            }
            for vcpu in 0..VCPUS {
                let register = in_redistributor(vcpu, crate::machine::SGI_BASE + bank);
                assert_eq!(self.machine.read(0, register, 4), 0);
            }
        }
    }
}
