//! A Realm changes interrupts that are in list registers of vCPUs that run.

use crate::machine::{
    CTLR, ICACTIVER, ICENABLER, ISACTIVER, ISENABLER, Machine, WRITE_PENDING, in_distributor,
    in_redistributor,
};

const SPI: u32 = 40;

/// vCPU 0 runs with an SPI in a list register; vCPU 1 changes it. Kicks wait.
fn machine() -> Machine {
    let mut it = Machine::new(2, 4);
    it.write(0, in_distributor(ISENABLER + 4), 4, 0xffff_ffff);
    it.set_edge(0, SPI, true);
    it.set_priority(0, 0, SPI, 0x80);
    it.spi(SPI, true);
    it.lazy = true;
    it
}

fn write_pending(it: &mut Machine) -> bool {
    it.read(1, in_distributor(CTLR), 4) & WRITE_PENDING != 0
}

/// `RWP` tells when a disabled interrupt is certain not to be taken any more.
#[test]
fn disabling_takes_until_the_vcpu_has_exited() {
    let mut it = machine();
    assert!(!write_pending(&mut it));
    it.write_bit(1, 0, ICENABLER, SPI);
    assert!(write_pending(&mut it));
    assert_eq!(it.read(1, in_redistributor(0, 0), 4), 1 << 3);
    assert_eq!(it.read(1, in_redistributor(1, 0), 4), 0);
    it.settle();
    assert!(!write_pending(&mut it));
    assert_eq!(it.read(1, in_redistributor(0, 0), 4), 0);
    assert_eq!(it.acknowledge(0), None);
}

#[test]
fn a_disabled_interrupt_that_was_taken_just_before_is_active_when_rwp_is_clear() {
    let mut it = machine();
    it.write_bit(1, 0, ICENABLER, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.settle();
    assert!(!write_pending(&mut it));
    assert!(it.read_bit(1, 0, ISACTIVER, SPI));
    it.end(0, SPI);
    // The read has asked for the truth, and another one gets it.
    it.read_bit(1, 0, ISACTIVER, SPI);
    it.settle();
    assert!(!it.read_bit(1, 0, ISACTIVER, SPI));
}

#[test]
fn no_wait_for_what_is_only_active() {
    let mut it = machine();
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.resume(0);
    it.write_bit(1, 0, ICENABLER, SPI);
    assert!(!write_pending(&mut it));
}

#[test]
fn disabling_a_group_takes_until_the_vcpu_has_exited() {
    let mut it = machine();
    // What does not change anything disturbs nobody but who does it.
    let exits = it.exits;
    it.write(1, in_distributor(CTLR), 4, 3);
    it.settle();
    assert_eq!(it.exits, exits + 1);
    assert!(!write_pending(&mut it));
    it.write(1, in_distributor(CTLR), 4, 1);
    assert!(write_pending(&mut it));
    it.write(1, in_distributor(CTLR), 4, 1);
    it.settle();
    assert!(!write_pending(&mut it));
    assert_eq!(it.acknowledge(0), None);
}

#[test]
fn withdrawals_on_several_vcpus_are_counted() {
    let mut it = machine();
    it.spi(41, true);
    it.settle();
    it.write_bit(1, 0, ICENABLER, SPI);
    it.write_bit(1, 0, ICENABLER, 41);
    it.resume(0);
    assert!(!write_pending(&mut it));
}

#[test]
fn a_new_priority_orders_what_is_pending() {
    let mut it = machine();
    it.set_priority(1, 0, 41, 0x40);
    it.spi(41, true);
    it.settle();
    it.set_priority(1, 0, SPI, 0x20);
    it.settle();
    assert_eq!(it.acknowledge(0), Some(SPI));
}

/// The CPU interface ends an interrupt only at the priority and in the group that it was taken
/// with.
#[test]
fn what_changes_while_active_does_not_keep_it_from_ending() {
    for (priority, group_1) in [(0x20, true), (0x80, false), (0x20, false)] {
        let mut it = machine();
        assert_eq!(it.acknowledge(0), Some(SPI));
        it.set_priority(1, 0, SPI, priority);
        it.set_group(1, 0, SPI, group_1);
        it.spi(SPI, true);
        it.settle();
        it.end(0, SPI);
        it.settle();
        // It comes again as what it has become, and as nothing else.
        it.interface(0, |cpu| cpu.groups = if group_1 { 1 } else { 2 });
        assert_eq!(it.acknowledge(0), None);
        it.interface(0, |cpu| {
            cpu.groups = if group_1 { 2 } else { 1 };
            cpu.priority_mask = priority + 8;
        });
        assert_eq!(it.acknowledge(0), Some(SPI));
        it.end(0, SPI);
        it.resume(0);
        assert!(!it.read_bit(0, 0, ISACTIVER, SPI));
    }
}

/// The last write counts, and is read back before the running vCPU has exited.
#[test]
fn active_state_that_is_written_twice() {
    for taken in [false, true] {
        for last in [ISACTIVER, ICACTIVER] {
            let mut it = machine();
            if taken {
                assert_eq!(it.acknowledge(0), Some(SPI));
                it.resume(0);
            }
            let first = ISACTIVER + ICACTIVER - last;
            for bank in [first, last] {
                it.write_bit(1, 0, bank, SPI);
                assert_eq!(it.read_bit(1, 0, ISACTIVER, SPI), bank == ISACTIVER);
            }
            it.settle();
            assert_eq!(it.read_bit(1, 0, ISACTIVER, SPI), last == ISACTIVER);
            assert_eq!(it.deactivated.is_empty(), !taken || last == ISACTIVER);
        }
    }
}

#[test]
fn an_edge_is_not_lost_between_acknowledgement_and_exit() {
    let mut it = machine();
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.spi(SPI, true);
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
    it.settle();
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn retargeted_before_the_exit_it_is_taken_once() {
    for taken_first in [false, true] {
        let mut it = machine();
        it.route(1, SPI, 1);
        if taken_first {
            assert_eq!(it.acknowledge(0), Some(SPI));
        }
        it.settle();
        let there = it.acknowledge(1);
        assert_eq!(there, (!taken_first).then_some(SPI));
        assert_eq!(it.acknowledge(0), None);
    }
}

#[test]
fn level_changes_of_what_is_loaded_do_not_disturb_a_vcpu() {
    let mut it = machine();
    it.set_edge(0, SPI, false);
    it.spi(SPI, true);
    it.settle();
    let exits = it.exits;
    it.spi(SPI, false);
    it.spi(SPI, true);
    it.settle();
    assert_eq!(it.exits, exits);
}

/// The RMM would have to be broken for this.
#[test]
fn list_registers_that_say_something_else() {
    let mut it = machine();
    it.leave(0);
    let entry = it.vgic.fill(0);
    let mut exit = it.cpus[0].exit();
    exit.list_registers = entry.list_registers;
    // Another interrupt, and active instead of pending.
    exit.list_registers[0] ^= 1 | 3 << 62;
    exit.list_registers[3] = 1 << 62 | 0x2d;
    let mut effects = realm_kmod_core::vgic::Effects::on_vcpu(0);
    it.vgic.sync(0, &exit, &mut effects);
    // Once more, when nothing is loaded.
    it.vgic.sync(0, &exit, &mut effects);
    assert_eq!(it.vgic.fill(0), entry);
}
