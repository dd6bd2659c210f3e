//! A Realm's vCPUs with their CPU interfaces around one interrupt controller.

use realm_kmod_core::vgic::{Effects, Frame, Register, Setup, SgiRegister, Vgic};

use crate::cpu::Cpu;

pub(crate) const DISTRIBUTOR: u64 = 0x800_0000;
pub(crate) const REDISTRIBUTORS: u64 = 0x80a_0000;

/// Offsets in the distributor, and in `SGI_base`.
pub(crate) const CTLR: u32 = 0x0;
pub(crate) const IGROUPR: u32 = 0x80;
pub(crate) const ISENABLER: u32 = 0x100;
pub(crate) const ICENABLER: u32 = 0x180;
pub(crate) const ISPENDR: u32 = 0x200;
pub(crate) const ICPENDR: u32 = 0x280;
pub(crate) const ISACTIVER: u32 = 0x300;
pub(crate) const ICACTIVER: u32 = 0x380;
pub(crate) const IPRIORITYR: u32 = 0x400;
pub(crate) const ICFGR: u32 = 0xc00;
pub(crate) const IROUTER: u32 = 0x6000;
/// `SGI_base` in a redistributor.
pub(crate) const SGI_BASE: u32 = 0x1_0000;
/// `GICD_CTLR.RWP`.
pub(crate) const WRITE_PENDING: u64 = 1 << 31;

pub(crate) fn vgic(vcpus: usize, list_registers: usize) -> Vgic {
    let mut setup = Setup::new(1 << 40);
    setup.set_distributor(DISTRIBUTOR).unwrap();
    setup.set_redistributors(REDISTRIBUTORS).unwrap();
    setup.set_interrupts(96).unwrap();
    setup.build(vcpus, list_registers).unwrap()
}

pub(crate) fn in_distributor(offset: u32) -> Register {
    Register {
        frame: Frame::Distributor,
        offset,
    }
}

pub(crate) fn in_redistributor(vcpu: usize, offset: u32) -> Register {
    Register {
        frame: Frame::Redistributor { vcpu },
        offset,
    }
}

/// The register of `bank`, with a bit for each interrupt, that has one for `intid`.
pub(crate) fn bit_register(vcpu: usize, bank: u32, intid: u32) -> Register {
    if intid < 32 {
        in_redistributor(vcpu, SGI_BASE + bank)
    } else {
        in_distributor(bank + intid / 32 * 4)
    }
}

/// `IPRIORITYR` of one interrupt.
pub(crate) fn priority_register(vcpu: usize, intid: u32) -> Register {
    if intid < 32 {
        in_redistributor(vcpu, SGI_BASE + IPRIORITYR + intid)
    } else {
        in_distributor(IPRIORITYR + intid)
    }
}

/// The machine. Unless it is lazy, vCPUs that are kicked, and those with a maintenance interrupt,
/// exit and enter again at once.
pub(crate) struct Machine {
    pub(crate) vgic: Vgic,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) inside: Vec<bool>,
    pub(crate) lazy: bool,
    /// vCPUs that were kicked outside.
    pub(crate) woken: Vec<bool>,
    /// vCPUs that were kicked inside, and are still there.
    kicked: Vec<bool>,
    /// SPIs that were deactivated with their line up.
    pub(crate) deactivated: Vec<u32>,
    pub(crate) exits: usize,
}

impl Machine {
    /// All vCPUs run, take everything, and both groups are forwarded.
    pub(crate) fn new(vcpus: usize, list_registers: usize) -> Self {
        let mut machine = Self {
            vgic: vgic(vcpus, list_registers),
            cpus: vec![Cpu::new(list_registers); vcpus],
            inside: vec![false; vcpus],
            lazy: false,
            woken: vec![false; vcpus],
            kicked: vec![false; vcpus],
            deactivated: Vec::new(),
            exits: 0,
        };
        for cpu in &mut machine.cpus {
            cpu.priority_mask = 0xff;
            cpu.groups = 3;
        }
        for vcpu in 0..vcpus {
            machine.enter(vcpu);
            machine.resume(vcpu);
        }
        machine.write(0, in_distributor(CTLR), 4, 3);
        machine
    }

    pub(crate) fn enter(&mut self, vcpu: usize) {
        assert!(!self.inside[vcpu]);
        let entry = self.vgic.fill(vcpu);
        self.cpus[vcpu].enter(&entry);
        self.inside[vcpu] = true;
        self.kicked[vcpu] = false;
    }

    pub(crate) fn leave(&mut self, vcpu: usize) {
        assert!(self.inside[vcpu]);
        self.inside[vcpu] = false;
        self.exits += 1;
        let exit = self.cpus[vcpu].exit();
        let mut effects = Effects::on_vcpu(vcpu);
        self.vgic.sync(vcpu, &exit, &mut effects);
        self.take(&effects);
    }

    /// An exit and an entry.
    pub(crate) fn resume(&mut self, vcpu: usize) {
        if self.inside[vcpu] {
            self.leave(vcpu);
            self.enter(vcpu);
        }
    }

    fn take(&mut self, effects: &Effects) {
        for vcpu in effects.kicked().iter() {
            if self.inside[vcpu] {
                self.kicked[vcpu] = true;
            } else {
                self.woken[vcpu] = true;
            }
        }
        for spi in effects.deactivated().iter() {
            self.deactivated.push(u32::try_from(spi).unwrap());
        }
    }

    fn react(&mut self) {
        if !self.lazy {
            self.settle();
        }
    }

    /// All kicks and maintenance interrupts take effect.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let Some(vcpu) = (0..self.cpus.len()).find(|&vcpu| {
                self.inside[vcpu] && (self.kicked[vcpu] || self.cpus[vcpu].maintenance())
            }) else {
                return;
            };
            self.resume(vcpu);
            assert!(
                !self.cpus[vcpu].maintenance(),
                "no vCPU is entered only to exit again: {:x?}",
                self.cpus[vcpu]
            );
        }
        panic!("vCPUs kick each other without end");
    }

    /// Does something on the thread of a vCPU, which is outside meanwhile.
    fn on_vcpu<R>(&mut self, vcpu: usize, act: impl FnOnce(&mut Vgic, &mut Effects) -> R) -> R {
        let was_inside = self.inside[vcpu];
        if was_inside {
            self.leave(vcpu);
        }
        let mut effects = Effects::on_vcpu(vcpu);
        let result = act(&mut self.vgic, &mut effects);
        self.take(&effects);
        if was_inside {
            self.enter(vcpu);
        }
        self.react();
        result
    }

    pub(crate) fn write(&mut self, by: usize, register: Register, size: usize, value: u64) {
        self.on_vcpu(by, |vgic, effects| {
            vgic.write(register, size, value, effects);
        });
    }

    pub(crate) fn read(&mut self, by: usize, register: Register, size: usize) -> u64 {
        self.on_vcpu(by, |vgic, effects| vgic.read(register, size, effects))
    }

    /// Writes the bit of an interrupt of `of` in a bank.
    pub(crate) fn write_bit(&mut self, by: usize, of: usize, bank: u32, intid: u32) {
        self.write(by, bit_register(of, bank, intid), 4, 1 << (intid % 32));
    }

    pub(crate) fn read_bit(&mut self, by: usize, of: usize, bank: u32, intid: u32) -> bool {
        self.read(by, bit_register(of, bank, intid), 4) >> (intid % 32) & 1 != 0
    }

    pub(crate) fn set_group(&mut self, by: usize, of: usize, intid: u32, group_1: bool) {
        let register = bit_register(of, IGROUPR, intid);
        let others = self.read(by, register, 4) & !(1 << (intid % 32));
        self.write(by, register, 4, others | u64::from(group_1) << (intid % 32));
    }

    pub(crate) fn set_priority(&mut self, by: usize, of: usize, intid: u32, priority: u8) {
        let register = priority_register(of, intid);
        self.write(by, register, 1, u64::from(priority));
    }

    pub(crate) fn set_edge(&mut self, by: usize, spi: u32, edge: bool) {
        let register = in_distributor(ICFGR + spi / 16 * 4);
        let shift = spi % 16 * 2;
        let others = self.read(by, register, 4) & !(3 << shift);
        self.write(by, register, 4, others | u64::from(edge) << (shift + 1));
    }

    pub(crate) fn route(&mut self, by: usize, spi: u32, route: u64) {
        self.write(by, in_distributor(IROUTER + spi * 8), 8, route);
    }

    pub(crate) fn sgi(&mut self, by: usize, register: SgiRegister, value: u64) {
        self.on_vcpu(by, |vgic, effects| {
            vgic.send_sgi(by, register, value, effects);
        });
    }

    pub(crate) fn spi(&mut self, spi: u32, level: bool) {
        let mut effects = Effects::elsewhere();
        self.vgic.set_spi_level(spi, level, &mut effects).unwrap();
        self.take(&effects);
        self.react();
    }

    pub(crate) fn ppi(&mut self, vcpu: usize, ppi: u32, level: bool) {
        let mut effects = Effects::elsewhere();
        self.vgic
            .set_ppi_level(vcpu, ppi, level, &mut effects)
            .unwrap();
        self.take(&effects);
        self.react();
    }

    pub(crate) fn acknowledge(&mut self, vcpu: usize) -> Option<u32> {
        let intid = self.cpus[vcpu].acknowledge();
        self.react();
        intid
    }

    pub(crate) fn end(&mut self, vcpu: usize, intid: u32) {
        self.cpus[vcpu].end(intid);
        self.react();
    }

    pub(crate) fn deactivate(&mut self, vcpu: usize, intid: u32) {
        if self.cpus[vcpu].deactivate(intid) {
            self.on_vcpu(vcpu, |vgic, effects| {
                vgic.deactivate(vcpu, u64::from(intid), effects);
            });
        }
        self.react();
    }

    /// Changes something of the CPU interface that nobody outside sees.
    pub(crate) fn interface(&mut self, vcpu: usize, change: impl FnOnce(&mut Cpu)) {
        change(&mut self.cpus[vcpu]);
        self.react();
    }
}
