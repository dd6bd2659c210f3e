//! More interrupts than list registers.

use rmm_abi::rmi::run::gic_control;

use crate::machine::{ISENABLER, Machine, in_distributor};

/// A vCPU with so many list registers, and SPIs from 32 on enabled, edges, each of the priority
/// that is given.
fn machine(list_registers: usize, priorities: &[u8]) -> Machine {
    let mut it = Machine::new(1, list_registers);
    for bank in [4, 8] {
        it.write(0, in_distributor(ISENABLER + bank), 4, 0xffff_ffff);
    }
    for (spi, &priority) in (32..).zip(priorities) {
        it.set_priority(0, 0, spi, priority);
        it.set_edge(0, spi, true);
    }
    it
}

/// Takes and ends everything there is, one after the other.
fn all(it: &mut Machine) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(intid) = it.acknowledge(0) {
        order.push(intid);
        it.end(0, intid);
        assert!(order.len() < 1000);
    }
    order
}

#[test]
fn all_come_in_the_order_of_their_priorities() {
    let priorities: Vec<u8> = (0..60u16)
        .map(|number| (number * 7 % 30) as u8 * 8)
        .collect();
    for list_registers in [1, 2, 4, 16] {
        let mut it = machine(list_registers, &priorities);
        for spi in 32..92 {
            it.spi(spi, true);
        }
        let order = all(&mut it);
        let mut expected: Vec<u32> = (32..92).collect();
        expected.sort_by_key(|&spi| (priorities[spi as usize - 32], spi));
        assert_eq!(order, expected, "{list_registers}");
    }
}

#[test]
fn a_more_urgent_one_displaces_what_is_loaded() {
    for list_registers in [1, 2] {
        let mut it = machine(list_registers, &[0x80, 0x88, 0x90, 0x40]);
        for spi in 32..35 {
            it.spi(spi, true);
        }
        it.spi(35, true);
        assert_eq!(it.acknowledge(0), Some(35));
        it.end(0, 35);
        assert_eq!(all(&mut it), [32, 33, 34]);
    }
}

/// A tower of active interrupts, higher than there are list registers, comes down in order.
#[test]
fn active_ones_without_a_list_register_end() {
    for list_registers in [1, 2, 4] {
        let priorities: Vec<u8> = (0..10).map(|number| 0xf0 - number * 8).collect();
        let mut it = machine(list_registers, &priorities);
        for spi in 32..42 {
            it.spi(spi, true);
            assert_eq!(it.acknowledge(0), Some(spi));
            it.resume(0);
        }
        // One of them again, and one that is level-triggered and stays up.
        it.spi(36, true);
        it.set_edge(0, 34, false);
        for spi in (32..42).rev() {
            it.end(0, spi);
            if spi == 36 || spi == 34 {
                assert_eq!(it.acknowledge(0), Some(spi));
                it.spi(spi, false);
                it.end(0, spi);
            }
            assert_eq!(it.acknowledge(0), None, "after {spi}");
        }
        it.resume(0);
        let active = in_distributor(crate::machine::ISACTIVER + 4);
        assert_eq!(it.read(0, active, 4), 0);
    }
}

/// More ends between two exits than there can be list registers.
#[test]
fn many_end_at_once() {
    let priorities: Vec<u8> = (0..24).map(|number| 0xf0 - number * 8).collect();
    for at_once in [1, 2, 15, 16, 17, 22] {
        let mut it = machine(1, &priorities);
        for spi in 32..56 {
            it.spi(spi, true);
            assert_eq!(it.acknowledge(0), Some(spi));
            it.resume(0);
        }
        // The last one has the list register.
        it.end(0, 55);
        it.resume(0);
        // The one before it has it then.
        it.interface(0, |cpu| {
            for spi in (54 - at_once..55).rev() {
                cpu.end(spi);
            }
        });
        it.resume(0);
        let active = in_distributor(crate::machine::ISACTIVER + 4);
        let left = (1 << (22 - at_once)) - 1;
        assert_eq!(it.read(0, active, 4), left, "{at_once}");
    }
}

#[test]
fn what_does_not_fit_is_watched_only_then() {
    let mut it = machine(2, &[0x80, 0x80, 0x80]);
    it.set_group(0, 0, 32, false);
    it.interface(0, |cpu| cpu.groups = 2);
    it.leave(0);
    it.spi(32, true);
    it.spi(33, true);
    assert_eq!(it.vgic.fill(0).control, 0);
    it.spi(34, true);
    let control = it.vgic.fill(0).control;
    assert_eq!(
        control,
        gic_control::GROUP_0_ENABLED,
        "group 0 has to stand back"
    );
    it.spi(35, true);
    let control = it.vgic.fill(0).control;
    assert_eq!(
        control,
        gic_control::NO_PENDING | gic_control::GROUP_1_DISABLED | gic_control::GROUP_0_ENABLED
    );
}

#[test]
fn a_group_that_the_vcpu_does_not_take_stands_back() {
    let mut it = machine(1, &[0x10, 0x20, 0x80]);
    it.set_group(0, 0, 32, false);
    it.interface(0, |cpu| cpu.groups = 2);
    it.resume(0);
    for spi in 32..35 {
        it.spi(spi, true);
    }
    assert_eq!(it.acknowledge(0), Some(33));
    it.end(0, 33);
    it.interface(0, |cpu| cpu.groups = 3);
    assert_eq!(it.acknowledge(0), Some(32));
    it.end(0, 32);
    assert_eq!(it.acknowledge(0), Some(34));
}

#[test]
fn a_group_that_is_closed_makes_room_for_the_other() {
    let mut it = machine(1, &[0x10, 0x20]);
    it.set_group(0, 0, 32, false);
    it.resume(0);
    it.spi(32, true);
    it.spi(33, true);
    it.interface(0, |cpu| cpu.groups = 2);
    assert_eq!(it.acknowledge(0), Some(33));
    it.end(0, 33);
    assert_eq!(it.acknowledge(0), None);
    it.interface(0, |cpu| cpu.groups = 3);
    assert_eq!(it.acknowledge(0), Some(32));
}

/// With `EOImode` set, interrupts are deactivated in any order, and on any vCPU.
#[test]
fn separate_deactivation() {
    let mut it = machine(1, &[0xa0, 0x80, 0x60, 0x40]);
    it.interface(0, |cpu| cpu.separate = true);
    it.resume(0);
    for spi in 32..36 {
        it.spi(spi, true);
        assert_eq!(it.acknowledge(0), Some(spi));
    }
    for spi in (32..36).rev() {
        it.end(0, spi);
    }
    for spi in 32..36 {
        it.spi(spi, true);
        assert_eq!(it.acknowledge(0), None, "still active");
    }
    for spi in [34, 32, 35, 33] {
        it.deactivate(0, spi);
        assert_eq!(it.acknowledge(0), Some(spi));
        it.end(0, spi);
    }
}

#[test]
fn deactivation_on_another_vcpu() {
    let mut it = Machine::new(2, 4);
    it.write(0, in_distributor(ISENABLER + 4), 4, 0xffff_ffff);
    for vcpu in [0, 1] {
        it.interface(vcpu, |cpu| cpu.separate = true);
        it.resume(vcpu);
    }
    it.spi(40, true);
    assert_eq!(it.acknowledge(0), Some(40));
    it.end(0, 40);
    assert_eq!(it.acknowledge(0), None);
    it.deactivate(1, 40);
    assert_eq!(it.deactivated, [40]);
    assert_eq!(it.acknowledge(0), Some(40));
}
