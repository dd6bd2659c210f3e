//! The virtual CPU interface of a vCPU, and the RMM's checks in front of it.

use realm_kmod_core::vgic::{Entry, Exit, LIST_REGISTERS};
use rmm_abi::rmi::run::gic_control;

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
const STATE: u64 = PENDING | ACTIVE;
const HARDWARE: u64 = 1 << 61;
const NOTIFY_END: u64 = 1 << 41;

/// `ICH_*_EL2` and `ICC_*_EL1` of one vCPU.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    list: Vec<u64>,
    control: u64,
    /// `ICC_PMR_EL1`.
    pub(crate) priority_mask: u8,
    /// `ICC_IGRPEN0_EL1` and `ICC_IGRPEN1_EL1`.
    pub(crate) groups: u8,
    /// `ICC_CTLR_EL1.EOImode`.
    pub(crate) separate: bool,
    /// `ICH_AP0R0_EL2` and `ICH_AP1R0_EL2`: a bit for each of 32 priorities.
    active_priorities: [u32; 2],
    ends: u64,
}

fn intid(entry: u64) -> u32 {
    (entry & 0xffff_ffff) as u32
}

fn priority(entry: u64) -> u8 {
    (entry >> 48 & 0xff) as u8
}

fn group(entry: u64) -> usize {
    (entry >> 60 & 1) as usize
}

impl Cpu {
    /// After reset, with so many list registers.
    pub(crate) fn new(list_registers: usize) -> Self {
        Self {
            list: vec![0; list_registers],
            control: 0,
            priority_mask: 0,
            groups: 0,
            separate: false,
            active_priorities: [0; 2],
            ends: 0,
        }
    }

    /// Enters, if the RMM accepts that (DEN0137 section A6).
    pub(crate) fn enter(&mut self, entry: &Entry) {
        assert_eq!(entry.control & !gic_control::ALL, 0);
        let (list, rest) = entry.list_registers.split_at(self.list.len());
        assert!(rest.iter().all(|&entry| entry == 0));
        for (index, &entry) in list.iter().enumerate() {
            if entry & STATE == 0 {
                assert_eq!(entry, 0);
                continue;
            }
            assert_eq!(entry & (HARDWARE | 0b1111 << 56 | 0b111 << 48), 0);
            assert_eq!(entry >> 32 & 0xffff & !(NOTIFY_END >> 32), 0);
            assert!(intid(entry) < 1020);
            let is_double = list[..index]
                .iter()
                .any(|&other| other & STATE != 0 && intid(other) == intid(entry));
            assert!(!is_double, "{list:x?}");
        }
        self.list.copy_from_slice(list);
        self.control = entry.control;
        self.ends = 0;
    }

    /// What the run page says at an exit.
    pub(crate) fn exit(&self) -> Exit {
        let mut list_registers = [0; LIST_REGISTERS];
        list_registers[..self.list.len()].copy_from_slice(&self.list);
        Exit {
            control: self.control | self.ends << 27,
            list_registers,
            machine_control: u64::from(self.priority_mask) << 24
                | u64::from(self.separate) << 9
                | u64::from(self.groups),
        }
    }

    /// Whether there is a maintenance interrupt.
    pub(crate) fn maintenance(&self) -> bool {
        let enabled = |bit| self.control & bit != 0;
        let in_use = self.list.iter().filter(|&entry| entry & STATE != 0).count();
        let has_ended = self
            .list
            .iter()
            .any(|entry| entry & (STATE | HARDWARE | NOTIFY_END) == NOTIFY_END);
        let has_pending = self.list.iter().any(|entry| entry & STATE == PENDING);
        has_ended
            || enabled(gic_control::UNDERFLOW) && in_use <= 1
            || enabled(gic_control::ENTRY_NOT_PRESENT) && self.ends != 0
            || enabled(gic_control::NO_PENDING) && !has_pending
            || enabled(gic_control::GROUP_0_ENABLED) && self.groups & 1 != 0
            || enabled(gic_control::GROUP_0_DISABLED) && self.groups & 1 == 0
            || enabled(gic_control::GROUP_1_ENABLED) && self.groups & 2 != 0
            || enabled(gic_control::GROUP_1_DISABLED) && self.groups & 2 == 0
    }

    /// The list register whose interrupt is signalled.
    fn signalled(&self) -> Option<usize> {
        let running = self
            .active_priorities
            .map(u32::trailing_zeros)
            .into_iter()
            .min()
            .unwrap_or(32);
        self.list
            .iter()
            .enumerate()
            .filter(|&(_, &entry)| entry & STATE == PENDING && self.groups >> group(entry) & 1 != 0)
            .min_by_key(|&(_, &entry)| priority(entry))
            .filter(|&(_, &entry)| {
                priority(entry) < self.priority_mask && u32::from(priority(entry) >> 3) < running
            })
            .map(|(index, _)| index)
    }

    /// A read of `ICC_IAR0_EL1` or `ICC_IAR1_EL1`.
    pub(crate) fn acknowledge(&mut self) -> Option<u32> {
        let index = self.signalled()?;
        let entry = &mut self.list[index];
        *entry = *entry & !STATE | ACTIVE;
        let entry = *entry;
        self.active_priorities[group(entry)] |= 1 << (priority(entry) >> 3);
        Some(intid(entry))
    }

    /// A write of `ICC_EOIR0_EL1` or `ICC_EOIR1_EL1`.
    pub(crate) fn end(&mut self, ended: u32) {
        let Some(dropped_group) =
            (0..2).min_by_key(|&group| self.active_priorities[group].trailing_zeros())
        else {
            return;
        };
        let priorities = &mut self.active_priorities[dropped_group];
        let dropped = priorities.trailing_zeros();
        if dropped == 32 {
            return;
        }
        *priorities &= *priorities - 1;
        match self.active(ended) {
            None => self.ends = (self.ends + 1) % 32,
            Some(entry) => {
                let matches =
                    u32::from(priority(*entry) >> 3) == dropped && group(*entry) == dropped_group;
                // The hardware goes on quietly, with an interrupt that never ends.
                assert!(matches, "{ended} has changed while it was active");
                if !self.separate {
                    self.deactivate_here(ended);
                }
            }
        }
    }

    /// A write of `ICC_DIR_EL1`. Whether it traps.
    pub(crate) fn deactivate(&mut self, ended: u32) -> bool {
        if self.control & gic_control::TRAP_DEACTIVATION != 0 {
            return true;
        }
        if self.active(ended).is_some() {
            self.deactivate_here(ended);
        } else {
            self.ends = (self.ends + 1) % 32;
        }
        false
    }

    fn deactivate_here(&mut self, ended: u32) {
        if let Some(entry) = self.active(ended) {
            *entry &= !ACTIVE;
        }
    }

    fn active(&mut self, of: u32) -> Option<&mut u64> {
        self.list
            .iter_mut()
            .find(|entry| **entry & ACTIVE != 0 && intid(**entry) == of)
    }
}
