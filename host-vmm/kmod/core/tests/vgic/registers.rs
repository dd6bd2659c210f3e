//! Registers in memory: what they read after reset, which bits can be written, in which sizes.

use realm_kmod_core::vgic::{Effects, MAX_VCPUS, Register, Vgic, affinity};

use crate::machine::{
    CTLR, ICACTIVER, ICENABLER, ICFGR, ICPENDR, IGROUPR, IPRIORITYR, IROUTER, ISACTIVER, ISENABLER,
    ISPENDR, SGI_BASE, in_distributor, in_redistributor, vgic,
};

/// The registers of two vCPUs and 96 interrupts.
struct Registers(Vgic);

impl Registers {
    fn new() -> Self {
        Self(vgic(2, 4))
    }

    fn read(&mut self, register: Register, size: usize) -> u64 {
        self.0.read(register, size, &mut Effects::on_vcpu(0))
    }

    fn write(&mut self, register: Register, size: usize, value: u64) {
        self.0
            .write(register, size, value, &mut Effects::on_vcpu(0));
    }

    /// What is read after everything was written.
    fn written(&mut self, register: Register, value: u64) -> u64 {
        self.write(register, 4, value);
        self.read(register, 4)
    }
}

#[test]
fn identification() {
    let mut it = Registers::new();
    for (register, value) in [
        // Ten bits of identifier, 96 interrupts; no LPIs, one Security state, no Aff3.
        (in_distributor(0x4), 9 << 19 | 2),
        (in_distributor(0x8), 0x4300_043b),
        (in_distributor(0xc), 0),
        (in_distributor(0x10), 0),
        (in_distributor(0xffe8), 0x3b),
        (in_redistributor(1, 0x4), 0x4300_043b),
        (in_redistributor(1, 0x10), 0),
        (in_redistributor(1, 0xffe8), 0x3b),
    ] {
        assert_eq!(it.read(register, 4), value, "{register:x?}");
        assert_eq!(it.written(register, 0xffff_ffff), value, "{register:x?}");
    }
}

#[test]
fn distributor_control() {
    let mut it = Registers::new();
    assert_eq!(it.read(in_distributor(CTLR), 4), 0x50);
    assert_eq!(it.written(in_distributor(CTLR), 0xffff_ffff), 0x53);
    assert_eq!(it.written(in_distributor(CTLR), 2), 0x52);
    assert_eq!(it.written(in_distributor(CTLR), 1), 0x51);
    assert_eq!(it.written(in_distributor(CTLR), 0), 0x50);
}

#[test]
fn redistributor_type() {
    let mut it = Registers::new();
    for (vcpu, low) in [(0, 0), (1, 1 << 8 | 1 << 4)] {
        let typer = in_redistributor(vcpu, 8);
        assert_eq!(it.read(typer, 8), (vcpu as u64) << 32 | low);
        assert_eq!(it.read(typer, 4), low);
        assert_eq!(it.read(in_redistributor(vcpu, 12), 4), vcpu as u64);
        it.write(typer, 8, u64::MAX);
        assert_eq!(it.read(typer, 8), (vcpu as u64) << 32 | low);
    }
}

#[test]
fn affinities() {
    assert_eq!(affinity(15), 0xf);
    assert_eq!(affinity(16), 0x100);
    assert_eq!(affinity(0x1ff), 0x1f0f);
    assert_eq!(affinity(0xf_ffff), 0xff_ff0f);
    let mut vgic = vgic(MAX_VCPUS, 4);
    let typer = vgic.read(
        in_redistributor(MAX_VCPUS - 1, 8),
        8,
        &mut Effects::elsewhere(),
    );
    assert_eq!(typer, 0x1f0f << 32 | 511 << 8 | 1 << 4);
}

#[test]
fn redistributor_control_and_sleep() {
    let mut it = Registers::new();
    assert_eq!(it.written(in_redistributor(0, 0), 0xffff_ffff), 0);
    let waker = in_redistributor(0, 0x14);
    assert_eq!(it.read(waker, 4), 0);
    // The children follow at once.
    assert_eq!(it.written(waker, 0xffff_ffff), 6);
    assert_eq!(it.read(in_redistributor(1, 0x14), 4), 0);
    assert_eq!(it.written(waker, 0), 0);
}

/// After reset, as under KVM: everything in group 1, SGIs enabled.
#[test]
fn after_reset() {
    let mut it = Registers::new();
    for (bank, private, shared) in [
        (IGROUPR, 0xffff_ffff, 0xffff_ffff),
        (ISENABLER, 0xffff, 0),
        (ICENABLER, 0xffff, 0),
        (ISPENDR, 0, 0),
        (ISACTIVER, 0, 0),
        (ICFGR, 0xaaaa_aaaa, 0),
        (ICFGR + 4, 0, 0),
        (IPRIORITYR, 0, 0),
    ] {
        assert_eq!(it.read(in_redistributor(1, SGI_BASE + bank), 4), private);
        // The first 32 are the redistributors' alone.
        assert_eq!(it.read(in_distributor(bank), 4), 0);
        if matches!(bank, IGROUPR..=ICACTIVER) {
            assert_eq!(it.read(in_distributor(bank + 4), 4), shared);
            assert_eq!(it.read(in_distributor(bank + 8), 4), shared);
            // Beyond the last interrupt.
            assert_eq!(it.written(in_distributor(bank + 12), 0xffff_ffff), 0);
        }
        assert_eq!(it.read(in_redistributor(1, SGI_BASE + bank + 0x20), 4), 0);
    }
}

#[test]
fn bits_that_are_set_and_cleared() {
    let places = [
        in_distributor(4),
        in_distributor(8),
        in_redistributor(0, SGI_BASE),
        in_redistributor(1, SGI_BASE),
    ];
    for (set, clear) in [
        (ISENABLER, ICENABLER),
        (ISPENDR, ICPENDR),
        (ISACTIVER, ICACTIVER),
    ] {
        for place in places {
            let mut it = Registers::new();
            let [set, clear] = [set, clear].map(|bank| Register {
                offset: place.offset + bank,
                ..place
            });
            it.write(clear, 4, 0xffff_ffff);
            assert_eq!(it.read(set, 4), 0);
            for (written_to, value, now) in [
                (set, 0x8000_0001, 0x8000_0001),
                (set, 0, 0x8000_0001),
                (set, 0x30, 0x8000_0031),
                (clear, 0x10, 0x8000_0021),
                (clear, 0, 0x8000_0021),
                (clear, 0xffff_ffff, 0),
            ] {
                it.write(written_to, 4, value);
                assert_eq!(it.read(set, 4), now, "{set:x?} after {value:x}");
                assert_eq!(it.read(clear, 4), now);
            }
            // Of all others, nothing has changed.
            it.write(set, 4, 0xffff_ffff);
            for other in places.into_iter().filter(|&other| other != place) {
                let other = Register {
                    offset: other.offset + set.offset - place.offset,
                    ..other
                };
                let fresh = Registers::new().read(other, 4);
                assert_eq!(it.read(other, 4), fresh);
            }
        }
    }
}

#[test]
fn groups_and_configuration() {
    let mut it = Registers::new();
    for (register, value) in [
        (in_distributor(IGROUPR + 4), 0x1234_5678),
        (in_redistributor(1, SGI_BASE + IGROUPR), 0x8765_4321),
    ] {
        assert_eq!(it.written(register, value), value);
    }
    assert_eq!(
        it.read(in_redistributor(0, SGI_BASE + IGROUPR), 4),
        0xffff_ffff
    );
    // Of two bits only the upper one is there; SGIs and PPIs are what they are.
    assert_eq!(
        it.written(in_distributor(ICFGR + 8), 0xffff_ffff),
        0xaaaa_aaaa
    );
    assert_eq!(it.written(in_distributor(ICFGR + 8), 0x0000_0009), 8);
    assert_eq!(it.read(in_distributor(ICFGR + 12), 4), 0);
    let private = in_redistributor(0, SGI_BASE + ICFGR);
    assert_eq!(it.written(private, 0), 0xaaaa_aaaa);
    let private = in_redistributor(0, SGI_BASE + ICFGR + 4);
    assert_eq!(it.written(private, 0xffff_ffff), 0);
}

#[test]
fn priorities_by_word_and_byte() {
    let mut it = Registers::new();
    for place in [
        in_distributor(IPRIORITYR + 64),
        in_redistributor(1, SGI_BASE + IPRIORITYR + 28),
    ] {
        let byte = |number| Register {
            offset: place.offset + number,
            ..place
        };
        // Five bits.
        assert_eq!(it.written(place, 0xffa5_0107), 0xf8a0_0000);
        it.write(byte(1), 1, 0x1ff);
        assert_eq!(it.read(place, 4), 0xf8a0_f800);
        assert_eq!(it.read(byte(3), 1), 0xf8);
        assert_eq!(it.read(byte(2), 1), 0xa0);
        // Not by half words, and not by double words.
        it.write(place, 2, 0);
        it.write(byte(2), 2, 0);
        it.write(place, 8, 0);
        assert_eq!(it.read(place, 2), 0);
        assert_eq!(it.read(place, 8), 0);
        assert_eq!(it.read(place, 4), 0xf8a0_f800);
    }
    assert_eq!(it.written(in_distributor(IPRIORITYR + 28), 0xffff_ffff), 0);
    assert_eq!(it.written(in_distributor(IPRIORITYR + 96), 0xffff_ffff), 0);
}

#[test]
fn routes() {
    let mut it = Registers::new();
    let route = in_distributor(IROUTER + 8 * 32);
    let upper = in_distributor(IROUTER + 8 * 32 + 4);
    it.write(route, 8, u64::MAX);
    assert_eq!(it.read(route, 8), 0x80ff_ffff);
    it.write(route, 4, 0x101);
    it.write(upper, 4, 0xff);
    assert_eq!(it.read(route, 8), 0x101);
    assert_eq!(it.read(route, 4), 0x101);
    assert_eq!(it.read(upper, 4), 0);
    it.write(upper, 8, 0xff);
    it.write(route, 1, 0xff);
    it.write(route, 2, 0xff);
    assert_eq!(it.read(route, 8), 0x101);
    for none in [0, 31, 96, 1019, 1020, 1023] {
        let none = in_distributor(IROUTER + 8 * none);
        it.write(none, 8, u64::MAX);
        assert_eq!(it.read(none, 8), 0);
    }
}

/// Registers of features that there are not, and what has no meaning.
#[test]
fn zero_and_ignored() {
    let mut it = Registers::new();
    let known = |offset| matches!(offset, 0..0x10 | 0x80..0x800 | 0xc00..0xd00 | 0x6000..0x8000 | 0xffe8..0xffec);
    let distributor = (0..0x1_0000)
        .step_by(4)
        .filter(|&offset| !known(offset))
        .map(in_distributor);
    let redistributor = (0x18..0xffe8)
        .chain(0x1_0d00..0x2_0000)
        .step_by(4)
        .map(|offset| in_redistributor(0, offset));
    for register in distributor.chain(redistributor) {
        for size in [1, 2, 4, 8] {
            it.write(register, size, u64::MAX);
            assert_eq!(it.read(register, size), 0, "{register:x?}");
        }
    }
}

#[test]
fn sizes_and_alignment() {
    let mut it = Registers::new();
    let enable = in_distributor(ISENABLER + 4);
    for size in [0, 1, 2, 3, 5, 8, 16, usize::MAX] {
        it.write(enable, size, u64::MAX);
        assert_eq!(it.read(enable, 4), 0);
        assert_eq!(it.read(in_distributor(8), size), 0);
        assert_eq!(it.read(in_redistributor(0, 4), size), 0);
    }
    for offset in 1..4 {
        it.write(in_distributor(ISENABLER + 4 + offset), 4, u64::MAX);
        assert_eq!(it.read(enable, 4), 0);
        assert_eq!(it.read(in_distributor(8 + offset), 4), 0);
    }
    assert_eq!(it.read(in_redistributor(0, 12), 8), 0);
    assert_eq!(it.read(in_distributor(4), 8), 0);
}

/// A line that is up is pending whatever is written, and an edge that was written is not a line.
#[test]
fn pending_by_line_and_by_write() {
    let mut it = Registers::new();
    let mut effects = Effects::elsewhere();
    let (set, clear) = (in_distributor(ISPENDR + 4), in_distributor(ICPENDR + 4));
    it.0.set_spi_level(40, true, &mut effects).unwrap();
    assert_eq!(it.read(set, 4), 1 << 8);
    assert_eq!(it.written(clear, 1 << 8), 1 << 8);
    it.write(set, 4, 1 << 8);
    it.0.set_spi_level(40, false, &mut effects).unwrap();
    assert_eq!(it.read(set, 4), 1 << 8);
    assert_eq!(it.written(clear, 1 << 8), 0);

    it.write(in_distributor(ICFGR + 8), 4, 2 << 16);
    it.0.set_spi_level(40, true, &mut effects).unwrap();
    it.0.set_spi_level(40, false, &mut effects).unwrap();
    assert_eq!(it.read(set, 4), 1 << 8);
    it.0.set_spi_level(40, true, &mut effects).unwrap();
    assert_eq!(it.written(clear, 1 << 8), 0);
}
