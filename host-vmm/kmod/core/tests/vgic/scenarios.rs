//! What interrupts go through, one story each.

use realm_kmod_core::vgic::{PHYSICAL_TIMER, SgiRegister, VIRTUAL_TIMER};

use crate::machine::{
    CTLR, ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISENABLER, ISPENDR, Machine, in_distributor,
    in_redistributor,
};

const SPI: u32 = 40;
/// `GICD_IROUTER.Interrupt_Routing_Mode`.
const TO_ANY: u64 = 1 << 31;

/// A machine on which SPIs are enabled and go to vCPU 0.
fn machine(vcpus: usize) -> Machine {
    let mut it = Machine::new(vcpus, 4);
    it.write(0, in_distributor(ISENABLER + 4), 4, 0xffff_ffff);
    it
}

#[test]
fn edge() {
    let mut it = machine(1);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    it.spi(SPI, false);
    // From here to its end the vCPU is left alone.
    let exits = it.exits;
    assert_eq!(it.acknowledge(0), Some(SPI));
    assert_eq!(it.acknowledge(0), None);
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
    assert_eq!(it.exits, exits);
}

#[test]
fn edges_are_one_until_acknowledged_and_another_one_after() {
    let mut it = machine(1);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.spi(SPI, true);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), None);
    assert!(it.read_bit(0, 0, ISPENDR, SPI) && it.read_bit(0, 0, ISACTIVER, SPI));
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
}

#[test]
fn level_that_stays_up_comes_again() {
    let mut it = machine(1);
    it.spi(SPI, true);
    for _ in 0..3 {
        assert_eq!(it.acknowledge(0), Some(SPI));
        assert_eq!(it.acknowledge(0), None);
        it.end(0, SPI);
    }
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.spi(SPI, false);
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
}

#[test]
fn level_that_falls_before_it_is_acknowledged() {
    let mut it = machine(1);
    it.leave(0);
    it.spi(SPI, true);
    assert!(it.vgic.has_pending(0));
    it.spi(SPI, false);
    assert!(!it.vgic.has_pending(0));
    it.enter(0);
    assert_eq!(it.acknowledge(0), None);

    // In a list register it is seen until the next exit, as one that has just been signalled.
    it.spi(SPI, true);
    it.spi(SPI, false);
    it.resume(0);
    assert_eq!(it.acknowledge(0), None);
}

#[test]
fn level_that_falls_and_rises_while_active() {
    let mut it = machine(1);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.spi(SPI, false);
    it.spi(SPI, true);
    assert!(it.read_bit(0, 0, ISPENDR, SPI));
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn a_written_level_is_pending_once() {
    let mut it = machine(1);
    it.write_bit(0, 0, ISPENDR, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
    assert!(!it.read_bit(0, 0, ISPENDR, SPI));
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
    // Its edge while active is remembered.
    it.write_bit(0, 0, ISPENDR, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.write_bit(0, 0, ISPENDR, SPI);
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
}

#[test]
fn pending_that_is_cleared() {
    let mut it = machine(2);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    // From the other vCPU, out of the list register of the one that runs.
    it.write_bit(1, 0, ICPENDR, SPI);
    assert_eq!(it.acknowledge(0), None);
    assert!(!it.read_bit(0, 0, ISPENDR, SPI));
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

/// The order on the way: cleared and set again before the running vCPU has exited.
#[test]
fn pending_that_is_cleared_and_set_again() {
    let mut it = machine(2);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    it.lazy = true;
    it.write_bit(1, 0, ICPENDR, SPI);
    assert!(!it.read_bit(1, 0, ISPENDR, SPI));
    it.spi(SPI, true);
    assert!(it.read_bit(1, 0, ISPENDR, SPI));
    it.settle();
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn disabled_while_active() {
    let mut it = machine(2);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.write_bit(1, 0, ICENABLER, SPI);
    it.spi(SPI, true);
    assert!(it.read_bit(1, 0, ISACTIVER, SPI));
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), None);
    it.resume(0);
    assert!(!it.read_bit(1, 0, ISACTIVER, SPI));
    assert!(it.read_bit(1, 0, ISPENDR, SPI));
    it.write_bit(1, 0, ISENABLER, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn priorities_nest() {
    let mut it = machine(1);
    for (spi, priority) in [(40, 0xa0), (41, 0x80), (42, 0xa0), (43, 0x40)] {
        it.set_priority(0, 0, spi, priority);
    }
    it.spi(42, true);
    it.spi(40, true);
    assert_eq!(it.acknowledge(0), Some(40));
    assert_eq!(it.acknowledge(0), None);
    it.spi(41, true);
    assert_eq!(it.acknowledge(0), Some(41));
    it.spi(43, true);
    assert_eq!(it.acknowledge(0), Some(43));
    for (spi, next) in [(43, None), (41, None), (40, Some(42)), (42, None)] {
        it.spi(spi, false);
        it.end(0, spi);
        assert_eq!(it.acknowledge(0), next);
    }
}

#[test]
fn priority_mask() {
    let mut it = machine(1);
    it.set_priority(0, 0, SPI, 0xa0);
    it.interface(0, |cpu| cpu.priority_mask = 0xa0);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), None);
    it.leave(0);
    assert!(!it.vgic.has_pending(0));
    it.enter(0);
    it.interface(0, |cpu| cpu.priority_mask = 0xa8);
    it.leave(0);
    assert!(it.vgic.has_pending(0));
    it.enter(0);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.leave(0);
    assert!(!it.vgic.has_pending(0), "active is not pending");
}

#[test]
fn groups_at_distributor_and_cpu_interface() {
    let mut it = machine(1);
    it.set_group(0, 0, SPI, false);
    for (distributor, interface, taken) in [
        (0, 3, false),
        (2, 3, false),
        (1, 2, false),
        (1, 0, false),
        (1, 1, true),
        (3, 3, true),
    ] {
        it.write(0, in_distributor(CTLR), 4, distributor);
        it.interface(0, |cpu| cpu.groups = interface);
        it.spi(SPI, true);
        it.leave(0);
        assert_eq!(it.vgic.has_pending(0), taken);
        it.enter(0);
        assert_eq!(it.acknowledge(0), taken.then_some(SPI));
        it.spi(SPI, false);
        if taken {
            it.end(0, SPI);
        }
        it.resume(0);
    }
}

#[test]
fn forwarding_ends_and_begins_under_a_running_vcpu() {
    let mut it = machine(2);
    it.spi(SPI, true);
    it.write(1, in_distributor(CTLR), 4, 1);
    assert_eq!(it.acknowledge(0), None);
    it.write(1, in_distributor(CTLR), 4, 3);
    assert_eq!(it.acknowledge(0), Some(SPI));
    // One that has come again meanwhile, while it is active.
    it.set_edge(1, SPI, true);
    it.write(1, in_distributor(CTLR), 4, 1);
    it.spi(SPI, true);
    it.write(1, in_distributor(CTLR), 4, 3);
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn timers() {
    let mut it = machine(2);
    for vcpu in [0, 1] {
        for ppi in [VIRTUAL_TIMER, PHYSICAL_TIMER] {
            it.write_bit(vcpu, vcpu, ISENABLER, ppi);
        }
    }
    it.ppi(1, VIRTUAL_TIMER, true);
    assert_eq!(it.acknowledge(0), None);
    assert_eq!(it.acknowledge(1), Some(VIRTUAL_TIMER));
    it.ppi(0, PHYSICAL_TIMER, true);
    assert_eq!(it.acknowledge(0), Some(PHYSICAL_TIMER));
    it.ppi(1, VIRTUAL_TIMER, false);
    it.end(1, VIRTUAL_TIMER);
    it.end(0, PHYSICAL_TIMER);
    assert_eq!(it.acknowledge(1), None);
    assert_eq!(it.acknowledge(0), Some(PHYSICAL_TIMER));
    assert!(it.deactivated.is_empty(), "only SPIs are reported");
}

fn sgi(intid: u64, aff2: u64, aff1: u64, list: u64) -> u64 {
    intid << 24 | aff2 << 32 | aff1 << 16 | list
}

#[test]
fn sgi_to_a_list() {
    let mut it = machine(40);
    // Itself, too.
    it.sgi(17, SgiRegister::Group1, sgi(5, 0, 1, 0b1000_0000_0000_0011));
    it.sgi(3, SgiRegister::Group1, sgi(6, 0, 2, 0xffff));
    // To no one: other clusters, range selectors above 0, affinity 3.
    it.sgi(0, SgiRegister::Group1, sgi(7, 0, 3, 0xffff));
    it.sgi(0, SgiRegister::Group1, sgi(7, 1, 0, 0xffff));
    it.sgi(0, SgiRegister::Group1, sgi(7, 0, 0, 0xffff) | 1 << 44);
    it.sgi(0, SgiRegister::Group1, sgi(7, 0, 0, 0xffff) | 1 << 48);
    for vcpu in 0..40 {
        let expected = match vcpu {
            16 | 17 | 31 => Some(5),
            32.. => Some(6),
            _ => None,
        };
        assert_eq!(it.acknowledge(vcpu), expected, "{vcpu}");
    }
}

#[test]
fn sgi_to_all_others() {
    let mut it = machine(20);
    it.sgi(7, SgiRegister::Group1, 0xff << 24 | 1 << 40 | 0xffff);
    for vcpu in 0..20 {
        let expected = (vcpu != 7).then_some(15);
        assert_eq!(it.acknowledge(vcpu), expected);
        assert_eq!(it.acknowledge(vcpu), None);
    }
}

#[test]
fn sgis_are_of_a_group() {
    for (register, of_group_0, of_group_1) in [
        (SgiRegister::Group0, true, false),
        (SgiRegister::Group1, true, true),
        (SgiRegister::OtherGroup1, true, false),
    ] {
        for (group_1, sent) in [(false, of_group_0), (true, of_group_1)] {
            let mut it = machine(2);
            it.set_group(0, 1, 3, group_1);
            it.sgi(0, register, sgi(3, 0, 0, 2));
            assert_eq!(it.acknowledge(1), sent.then_some(3), "{register:?}");
        }
    }
}

#[test]
fn sgi_while_active_and_disabled() {
    let mut it = machine(2);
    it.sgi(0, SgiRegister::Group1, sgi(3, 0, 0, 2));
    assert_eq!(it.acknowledge(1), Some(3));
    it.sgi(0, SgiRegister::Group1, sgi(3, 0, 0, 2));
    it.write_bit(1, 1, ICENABLER, 3);
    it.end(1, 3);
    assert_eq!(it.acknowledge(1), None);
    it.write_bit(1, 1, ISENABLER, 3);
    assert_eq!(it.acknowledge(1), Some(3));
}

#[test]
fn route_changes_while_pending() {
    let mut it = machine(3);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    it.route(2, SPI, 1);
    assert_eq!(it.acknowledge(0), None);
    assert_eq!(it.acknowledge(1), Some(SPI));
    // While active: it ends where it is, and comes again where it is sent to.
    it.route(2, SPI, 2);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(2), None);
    it.end(1, SPI);
    assert_eq!(it.acknowledge(1), None);
    assert_eq!(it.acknowledge(2), Some(SPI));
}

#[test]
fn route_to_nobody() {
    let mut it = machine(2);
    it.route(0, SPI, 0x20);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), None);
    it.route(0, SPI, 2);
    assert_eq!(it.acknowledge(0), None);
    assert!(it.read_bit(0, 0, ISPENDR, SPI));
    it.route(0, SPI, 1);
    assert_eq!(it.acknowledge(1), Some(SPI));
}

#[test]
fn route_to_any_is_to_the_first_that_is_awake() {
    let mut it = machine(3);
    let waker = |vcpu| in_redistributor(vcpu, 0x14);
    it.write(0, waker(0), 4, 2);
    it.route(0, SPI, TO_ANY | 2);
    it.spi(SPI, true);
    it.write(1, waker(1), 4, 2);
    assert_eq!((it.acknowledge(0), it.acknowledge(1)), (None, None));
    assert_eq!(it.acknowledge(2), Some(SPI));
    it.end(2, SPI);
    it.write(0, waker(0), 4, 0);
    assert_eq!(it.acknowledge(2), None);
    assert_eq!(it.acknowledge(0), Some(SPI));
    for vcpu in 0..3 {
        it.write(0, waker(vcpu), 4, 2);
    }
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn a_vcpu_that_waits_is_woken() {
    let mut it = machine(2);
    it.write_bit(1, 1, ISENABLER, VIRTUAL_TIMER);
    it.route(0, SPI, 1);
    it.leave(1);
    it.woken[1] = false;
    for act in [
        (|it| it.spi(SPI, true)) as fn(&mut Machine),
        |it| it.ppi(1, VIRTUAL_TIMER, true),
        |it| it.sgi(0, SgiRegister::Group1, 1 << 24 | 2),
    ] {
        act(&mut it);
        assert!(it.vgic.has_pending(1) && it.woken[1]);
        it.enter(1);
        let intid = it.acknowledge(1).expect("pending");
        it.spi(SPI, false);
        it.ppi(1, VIRTUAL_TIMER, false);
        it.end(1, intid);
        it.leave(1);
        assert!(!it.vgic.has_pending(1));
        it.woken[1] = false;
    }
    // By what has been pending all along.
    for (before, after) in [
        (
            (|it| it.write_bit(0, 1, ICENABLER, SPI)) as fn(&mut Machine),
            (|it| it.write_bit(0, 1, ISENABLER, SPI)) as fn(&mut Machine),
        ),
        (
            |it| it.set_group(0, 1, SPI, false),
            |it| {
                it.set_group(0, 1, SPI, true);
            },
        ),
        (
            |it| it.set_priority(0, 1, SPI, 0xf8),
            |it| {
                it.set_priority(0, 1, SPI, 0x80);
            },
        ),
        (|it| it.route(0, SPI, 0), |it| it.route(0, SPI, 1)),
        (
            |it| it.write(0, in_distributor(CTLR), 4, 0),
            |it| {
                it.write(0, in_distributor(CTLR), 4, 2);
            },
        ),
    ] {
        it.interface(1, |cpu| {
            cpu.groups = 2;
            cpu.priority_mask = 0xf0;
        });
        it.enter(1);
        it.leave(1);
        before(&mut it);
        it.spi(SPI, true);
        assert!(!it.vgic.has_pending(1));
        it.woken[1] = false;
        after(&mut it);
        assert!(it.vgic.has_pending(1) && it.woken[1]);
        it.spi(SPI, false);
    }
}

/// A redistributor asleep asks for its vCPU to be woken, whatever the CPU interface takes.
#[test]
fn a_vcpu_asleep_is_woken_by_any_interrupt() {
    let mut it = machine(1);
    it.write(0, in_redistributor(0, 0x14), 4, 2);
    it.interface(0, |cpu| cpu.groups = 0);
    it.leave(0);
    assert!(!it.vgic.has_pending(0));
    it.spi(SPI, true);
    assert!(it.vgic.has_pending(0) && it.woken[0]);
    it.enter(0);
    it.write(0, in_redistributor(0, 0x14), 4, 0);
    it.leave(0);
    assert!(!it.vgic.has_pending(0));
}

/// What comes while a vCPU is off, or has never run, is there when it runs.
#[test]
fn a_vcpu_that_is_off_misses_nothing() {
    let mut it = machine(2);
    it.set_edge(0, SPI, true);
    it.route(0, SPI, 1);
    it.leave(1);
    it.spi(SPI, true);
    it.sgi(0, SgiRegister::Group1, 1 << 24 | 2);
    it.enter(1);
    assert_eq!(it.acknowledge(1), Some(1));
    it.end(1, 1);
    assert_eq!(it.acknowledge(1), Some(SPI));
}

#[test]
fn an_entry_that_is_called_off() {
    let mut it = machine(1);
    it.set_edge(0, SPI, true);
    it.spi(SPI, true);
    it.spi(41, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.spi(SPI, true);
    it.leave(0);
    let before = it.vgic.fill(0);
    let mut effects = realm_kmod_core::vgic::Effects::on_vcpu(0);
    it.vgic.abandon(0, &mut effects);
    assert!(effects.kicked().is_empty() && effects.deactivated().is_empty());
    assert_eq!(it.vgic.fill(0), before);
    // A second fill without taking back is as good.
    assert_eq!(it.vgic.fill(0), before);
    it.vgic.abandon(0, &mut effects);
    it.enter(0);
    it.end(0, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

#[test]
fn ends_of_lines_that_are_up_are_reported() {
    let mut it = machine(2);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    assert_eq!(it.deactivated, []);
    it.end(0, SPI);
    assert_eq!(it.deactivated, [SPI]);
    // The source is done: reported once, and not when its line is down.
    it.spi(SPI, false);
    it.resume(0);
    assert_eq!(it.acknowledge(0), None);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.spi(SPI, false);
    it.end(0, SPI);
    assert_eq!(it.deactivated, [SPI]);
    // By a write, on a running vCPU and on one that does not run.
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.write_bit(1, 0, ICACTIVER, SPI);
    assert_eq!(it.deactivated, [SPI, SPI]);
    it.end(0, SPI);
    it.resume(0);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.leave(0);
    it.write_bit(1, 0, ICACTIVER, SPI);
    assert_eq!(it.deactivated, [SPI, SPI, SPI]);
}

#[test]
fn active_by_write() {
    let mut it = machine(2);
    it.set_edge(0, SPI, true);
    // Before it is taken, in the list register of the vCPU that runs.
    it.spi(SPI, true);
    it.write_bit(1, 0, ISACTIVER, SPI);
    assert_eq!(it.acknowledge(0), None);
    assert!(it.read_bit(1, 0, ISACTIVER, SPI) && it.read_bit(1, 0, ISPENDR, SPI));
    it.write_bit(1, 0, ICACTIVER, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
    it.end(0, SPI);
    it.resume(0);
    // And when nothing of it is pending.
    it.write_bit(1, 0, ISACTIVER, SPI);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(0), None);
    it.write_bit(1, 0, ICACTIVER, SPI);
    assert_eq!(it.acknowledge(0), Some(SPI));
}

/// An interrupt that is made active is so on the vCPU that it goes to.
#[test]
fn active_by_write_is_where_it_goes() {
    let mut it = machine(3);
    it.leave(1);
    it.leave(2);
    it.route(0, SPI, 2);
    it.write_bit(0, 0, ISACTIVER, SPI);
    for (vcpu, state) in [(1, 0), (2, 2)] {
        assert_eq!(it.vgic.fill(vcpu).list_registers[0] >> 62, state);
    }
}

#[test]
fn the_last_of_many_vcpus_is_reached() {
    let mut it = machine(512);
    let last = 511;
    it.route(0, SPI, 0x1f0f);
    it.sgi(0, SgiRegister::Group1, sgi(3, 0, 0x1f, 1 << 15));
    assert_eq!(it.acknowledge(last), Some(3));
    it.end(last, 3);
    it.spi(SPI, true);
    assert_eq!(it.acknowledge(last), Some(SPI));
    assert!((0..last).all(|vcpu| it.acknowledge(vcpu).is_none()));
}
