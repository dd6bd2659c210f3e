//! What can be decided about an interrupt controller, and where its frames are.

use realm_kmod_core::vgic::{Effects, Error, Frame, MAX_REGIONS, MAX_VCPUS, Register, Setup};

use crate::machine::{in_distributor, in_redistributor};

const LIMIT: u64 = 1 << 40;

fn setup() -> Setup {
    Setup::new(LIMIT)
}

fn placed() -> Setup {
    let mut setup = setup();
    setup.set_distributor(0x800_0000).unwrap();
    setup.set_redistributors(0x80a_0000).unwrap();
    setup
}

#[test]
fn addresses_are_checked() {
    let mut it = setup();
    assert_eq!(it.set_distributor(0x800_1000), Err(Error::Misaligned));
    assert_eq!(it.set_distributor(LIMIT), Err(Error::OutOfRange));
    assert_eq!(it.set_distributor(!0xffff), Err(Error::OutOfRange));
    assert_eq!(it.set_distributor(LIMIT - 0x1_0000), Ok(()));
    assert_eq!(it.set_distributor(0), Err(Error::AlreadySet));
    assert_eq!(it.distributor(), Some(LIMIT - 0x1_0000));

    assert_eq!(it.set_redistributors(LIMIT - 0x2_0000), Err(Error::Overlap));
    assert_eq!(
        it.set_redistributors(LIMIT - 0x1_0000),
        Err(Error::OutOfRange)
    );
    assert_eq!(it.set_redistributors(LIMIT - 0x3_0000), Ok(()));
    assert_eq!(it.set_redistributors(0), Err(Error::AlreadySet));
    assert_eq!(it.build(1, 4).err(), None);
    assert_eq!(it.build(2, 4).err(), Some(Error::OutOfRange));
}

#[test]
fn frames_do_not_overlap() {
    let mut it = setup();
    it.set_redistributors(0x80a_0000).unwrap();
    assert_eq!(it.set_distributor(0x80b_0000), Err(Error::Overlap));
    // One of the redistributors that there will be, if there are two vCPUs.
    it.set_distributor(0x80c_0000).unwrap();
    assert_eq!(it.build(1, 4).err(), None);
    assert_eq!(it.build(2, 4).err(), Some(Error::Overlap));
}

#[test]
fn regions_come_in_order() {
    let mut it = setup();
    assert_eq!(it.add_region(1, 0x1000_0000, 1), Err(Error::BadRegion));
    assert_eq!(it.add_region(0, 0x1000_0000, 0), Err(Error::BadRegion));
    assert_eq!(it.add_region(0, 0x1000_0000, 2), Ok(()));
    assert_eq!(it.add_region(0, 0x2000_0000, 2), Err(Error::AlreadySet));
    assert_eq!(it.add_region(1, 0x1003_0000, 2), Err(Error::Overlap));
    assert_eq!(it.add_region(1, 0x1004_0000, 2), Ok(()));
    assert_eq!(it.set_redistributors(0), Err(Error::BadRegion));
    assert_eq!(
        it.add_region(MAX_REGIONS, 0x4000_0000, 1),
        Err(Error::BadRegion)
    );
    assert_eq!(placed().add_region(0, 0, 1), Err(Error::BadRegion));
    assert_eq!(placed().add_region(1, 0, 1), Err(Error::BadRegion));
}

#[test]
fn numbers_of_interrupts() {
    for bad in [0, 32, 63, 65, 1023, 1025, 1056, u32::MAX] {
        assert_eq!(
            setup().set_interrupts(bad),
            Err(Error::BadInterruptCount),
            "{bad}"
        );
    }
    for good in (64..=1024).step_by(32) {
        let mut it = placed();
        it.set_interrupts(good).unwrap();
        assert_eq!(it.set_interrupts(64), Err(Error::AlreadySet));
        assert_eq!(it.interrupts(), good);
        let mut vgic = it.build(1, 4).unwrap();
        let mut effects = Effects::elsewhere();
        let typer = vgic.read(in_distributor(4), 4, &mut effects);
        assert_eq!((typer & 0x1f) + 1, u64::from(good) / 32);
        let last = good.min(1020) - 1;
        assert_eq!(vgic.set_spi_level(last, true, &mut effects), Ok(()));
        for none in [0, 31, last + 1, u32::MAX] {
            assert_eq!(
                vgic.set_spi_level(none, true, &mut effects),
                Err(Error::NoSuchInterrupt)
            );
        }
    }
    assert_eq!(placed().interrupts(), 256);
}

#[test]
fn what_is_missing_or_too_much() {
    let mut it = setup();
    assert_eq!(it.build(1, 4).err(), Some(Error::Incomplete));
    it.set_distributor(0).unwrap();
    assert_eq!(it.build(1, 4).err(), Some(Error::Incomplete));
    it.add_region(0, 0x10_0000, 2).unwrap();
    assert_eq!(it.build(2, 4).err(), None);
    assert_eq!(it.build(3, 4).err(), Some(Error::BadVcpuCount));
    for (vcpus, list_registers, error) in [
        (0, 4, Some(Error::BadVcpuCount)),
        (MAX_VCPUS, 4, None),
        (MAX_VCPUS + 1, 4, Some(Error::BadVcpuCount)),
        (1, 0, Some(Error::BadListRegisters)),
        (1, 1, None),
        (1, 16, None),
        (1, 17, Some(Error::BadListRegisters)),
    ] {
        assert_eq!(placed().build(vcpus, list_registers).err(), error);
    }
}

#[test]
fn addresses_become_registers() {
    let mut it = setup();
    it.set_distributor(0x800_0000).unwrap();
    it.add_region(0, 0x1000_0000, 2).unwrap();
    it.add_region(1, 0x900_0000, 4).unwrap();
    let vgic = it.build(3, 4).unwrap();
    for (ipa, register) in [
        (0x7ff_ffff, None),
        (0x800_0000, Some(in_distributor(0))),
        (0x800_ffff, Some(in_distributor(0xffff))),
        (0x801_0000, None),
        (0xfff_ffff, None),
        (0x1000_0000, Some(in_redistributor(0, 0))),
        (0x1001_0080, Some(in_redistributor(0, 0x1_0080))),
        (0x1003_ffff, Some(in_redistributor(1, 0x1_ffff))),
        (0x1004_0000, None),
        (0x900_0008, Some(in_redistributor(2, 8))),
        // Room for a redistributor that no vCPU has.
        (0x902_0000, None),
        (0, None),
        (u64::MAX, None),
    ] {
        assert_eq!(vgic.register_at(ipa), register, "{ipa:#x}");
    }
}

#[test]
fn each_region_has_a_last_redistributor() {
    let mut it = setup();
    it.set_distributor(0x800_0000).unwrap();
    it.add_region(0, 0x1000_0000, 2).unwrap();
    it.add_region(1, 0x2000_0000, 1).unwrap();
    it.add_region(2, 0x3000_0000, 4).unwrap();
    let mut vgic = it.build(5, 4).unwrap();
    let last: Vec<bool> = (0..5)
        .map(|vcpu| {
            let typer = vgic.read(in_redistributor(vcpu, 8), 8, &mut Effects::elsewhere());
            typer >> 4 & 1 != 0
        })
        .collect();
    assert_eq!(last, [false, true, true, false, true]);
}

/// Whatever a Realm or a device names, nothing happens to what is not there.
#[test]
fn what_is_not_there() {
    let mut vgic = placed().build(1, 4).unwrap();
    let mut effects = Effects::elsewhere();
    for vcpu in [1, 511, 512, usize::MAX] {
        let frame = Frame::Redistributor { vcpu };
        for offset in [0, 8, 0x14, 0x1_0100, 0xffff_fffc] {
            let register = Register { frame, offset };
            vgic.write(register, 4, u64::MAX, &mut effects);
            assert_eq!(vgic.read(register, 4, &mut effects), 0);
        }
        assert_eq!(
            vgic.set_ppi_level(vcpu, 27, true, &mut effects),
            Err(Error::NoSuchInterrupt)
        );
        assert!(!vgic.has_pending(vcpu));
        let entry = vgic.fill(vcpu);
        assert_eq!((entry.control, entry.list_registers), (0, [0; 16]));
        vgic.abandon(vcpu, &mut effects);
        vgic.deactivate(vcpu, 27, &mut effects);
    }
    for ppi in [0, 15, 32, u32::MAX] {
        assert_eq!(
            vgic.set_ppi_level(0, ppi, true, &mut effects),
            Err(Error::NoSuchInterrupt)
        );
    }
    for intid in [256, 1019, 1023, 0xff_ffff, u64::MAX] {
        vgic.deactivate(0, intid, &mut effects);
    }
    assert!(effects.kicked().is_empty());
    assert!(effects.deactivated().is_empty());
}
