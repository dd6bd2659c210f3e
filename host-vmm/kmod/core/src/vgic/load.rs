//! Between the model and the list registers of a vCPU.
//!
//! When more interrupts want to be loaded than there are list registers, three rules keep the order
//! and lose nothing:
//!
//! * The most urgent pending interrupts are in list registers. The rest is not needed until all of
//!   those have been acknowledged, and then a maintenance interrupt comes (`NPIE`); so one list
//!   register at least is for pending interrupts. One comes too when the vCPU stops to take a group
//!   (`VGrp0DIE`, `VGrp1DIE`), which might be that of all that are loaded.
//! * Active interrupts without a list register are counted when they end (`EOIcount`), with a
//!   maintenance interrupt (`LRENPIE`). They end in the order of their priorities, so the count
//!   says which ones.
//! * Pending interrupts of a group that the vCPU does not take come last, and a maintenance
//!   interrupt tells when it does take the group (`VGrp0EIE`, `VGrp1EIE`).

use rmm_abi::rmi::run::gic_control;

use super::interrupt::flag;
use super::list_register::ListRegister;
use super::{Effects, Entry, Exit, LIST_REGISTERS, Source, Vcpu, Vgic};

/// `ICH_VMCR_EL2`.
mod machine_control {
    /// `VEOIM`: priority drop and deactivation are separate.
    pub(super) const SEPARATE_DEACTIVATION: u64 = 1 << 9;
    /// `VPMR`.
    pub(super) const PRIORITY_MASK_SHIFT: u32 = 24;
}

/// The least of the keys that were added, in ascending order.
struct Least {
    keys: [u32; LIST_REGISTERS],
    added: usize,
}

impl Least {
    const EMPTY: Self = Self {
        keys: [u32::MAX; LIST_REGISTERS],
        added: 0,
    };

    fn add(&mut self, mut key: u32) {
        self.added += 1;
        for slot in &mut self.keys {
            if key < *slot {
                core::mem::swap(slot, &mut key);
            }
        }
    }
}

/// The key by which interrupts are ordered. `late` ones come after all others.
const fn key(late: bool, priority: u8, intid: u32) -> u32 {
    (late as u32) << 24 | (priority as u32) << 16 | intid
}

/// The INTID of a key.
const fn intid_of(key: u32) -> u32 {
    key & 0xffff
}

/// What a vCPU's queue holds.
struct Wanted {
    active: Least,
    pending: Least,
    /// Pending ones whose group the vCPU takes.
    open: usize,
    /// Groups of pending ones that it takes, as in `GICD_CTLR`.
    open_groups: u8,
    /// Groups of pending ones that it does not take.
    closed_groups: u8,
    /// Priority drop and deactivation are separate.
    separate: bool,
}

impl Vcpu {
    /// Whether its CPU interface takes a group.
    const fn takes(&self, group_1: bool) -> bool {
        self.machine_control >> group_1 as u32 & 1 != 0
    }

    /// `ICC_PMR_EL1`.
    const fn priority_mask(&self) -> u8 {
        (self.machine_control >> machine_control::PRIORITY_MASK_SHIFT & 0xff) as u8
    }

    /// Whether there is anything for it to have in list registers, or that it has there.
    pub(super) fn has_interrupts(&self) -> bool {
        !self.queue.is_empty() || self.loaded.iter().any(|&bits| bits != 0)
    }

    /// Whether a list register of it was loaded as pending.
    pub(super) fn holds_pending(&self) -> bool {
        self.loaded
            .iter()
            .any(|&bits| ListRegister::decode(bits).pending)
    }
}

impl Vgic {
    /// What a vCPU is entered with. It counts as running until [`Vgic::sync`], or
    /// [`Vgic::abandon`] if it was not entered after all: this comes after everything else that
    /// happens on its thread before an entry.
    pub fn fill(&mut self, vcpu: usize) -> Entry {
        self.abandon(vcpu, &mut Effects::on_vcpu(vcpu));
        let mut entry = Entry {
            control: 0,
            list_registers: [0; LIST_REGISTERS],
        };
        let Some(wanted) = self.wanted(vcpu) else {
            return entry;
        };
        let (active, pending) = wanted.shares(self.list_registers);
        entry.control = wanted.control(active, pending);
        let keys = wanted
            .active
            .keys
            .iter()
            .take(active)
            .chain(wanted.pending.keys.iter().take(pending));
        for (slot, &key) in entry.list_registers.iter_mut().zip(keys) {
            *slot = self.load(vcpu, intid_of(key));
        }
        if let Some(vcpu) = self.vcpus.get_mut(vcpu) {
            vcpu.loaded = entry.list_registers;
        }
        entry
    }

    /// What is in a vCPU's queue.
    fn wanted(&self, number: usize) -> Option<Wanted> {
        let vcpu = self.vcpus.get(number)?;
        let mut wanted = Wanted {
            active: Least::EMPTY,
            pending: Least::EMPTY,
            open: 0,
            open_groups: 0,
            closed_groups: 0,
            separate: vcpu.separates_deactivation(),
        };
        for intid in vcpu.queue.iter().map(|intid| intid as u32) {
            let Some(interrupt) = self.interrupt(Source::Interface(number), intid) else {
                continue;
            };
            if interrupt.is(flag::ACTIVE) {
                wanted
                    .active
                    .add(key(false, interrupt.active_priority, intid));
            } else if self.forwards(interrupt) {
                let group_1 = interrupt.is(flag::GROUP_1);
                let open = vcpu.takes(group_1);
                wanted.pending.add(key(!open, interrupt.priority, intid));
                if open {
                    wanted.open += 1;
                    wanted.open_groups |= 1 << u8::from(group_1);
                } else {
                    wanted.closed_groups |= 1 << u8::from(group_1);
                }
            }
        }
        Some(wanted)
    }

    fn load(&mut self, vcpu: usize, intid: u32) -> u64 {
        let source = Source::Interface(vcpu);
        let forwarded = self
            .interrupt(source, intid)
            .is_some_and(|interrupt| self.forwards(interrupt));
        let Some(interrupt) = self.interrupt_mut(source, intid) else {
            return 0;
        };
        let list_register = interrupt.load(intid, vcpu as u16, forwarded);
        if let Some(vcpu) = self.vcpus.get_mut(vcpu) {
            vcpu.queue.remove(intid as usize);
        }
        list_register.encode()
    }

    /// Takes back what a vCPU was entered with, by what the run page says at exit. Comes before the
    /// lines of timers and PMU are set by the same exit, and before the exit itself is handled.
    ///
    /// `effects` learns which SPIs the Realm has deactivated whose lines are still up.
    pub fn sync(&mut self, vcpu: usize, exit: &Exit, effects: &mut Effects) {
        let Some(state) = self.vcpus.get_mut(vcpu) else {
            return;
        };
        state.machine_control = exit.machine_control;
        if !state.separates_deactivation() {
            let count = (exit.control & gic_control::END_OF_INTERRUPT_COUNT)
                >> gic_control::END_OF_INTERRUPT_COUNT.trailing_zeros();
            self.end_most_urgent(vcpu, count as usize, effects);
        }
        self.take_back(vcpu, &exit.list_registers, effects);
    }

    /// Takes back what a vCPU was filled with, when it was not entered: the entry was called off, or
    /// the RMM refused it.
    pub fn abandon(&mut self, vcpu: usize, effects: &mut Effects) {
        if let Some(state) = self.vcpus.get(vcpu) {
            let loaded = state.loaded;
            self.take_back(vcpu, &loaded, effects);
        }
    }

    fn take_back(&mut self, vcpu: usize, now: &[u64; LIST_REGISTERS], effects: &mut Effects) {
        let Some(state) = self.vcpus.get_mut(vcpu) else {
            return;
        };
        let loaded = core::mem::replace(&mut state.loaded, [0; LIST_REGISTERS]);
        if core::mem::take(&mut state.withdrawing) {
            self.withdrawing = self.withdrawing.saturating_sub(1);
        }
        for (loaded, now) in loaded.into_iter().zip(now) {
            let (loaded, mut now) = (ListRegister::decode(loaded), ListRegister::decode(*now));
            if !loaded.is_valid() {
                continue;
            }
            // Another interrupt in its place cannot be.
            if now.is_valid() && now.intid != loaded.intid {
                now = loaded;
            }
            let mut ended = false;
            let source = Source::Interface(vcpu);
            self.change(source, loaded.intid, effects, |interrupt| {
                ended = interrupt.unload(&now);
            });
            if ended {
                self.report_end(source, loaded.intid, effects);
            }
        }
    }

    /// So many active interrupts without a list register have ended, the most urgent first. The queue
    /// is looked through once for as many as there are list registers.
    fn end_most_urgent(&mut self, vcpu: usize, mut count: usize, effects: &mut Effects) {
        while count > 0 {
            let Some(Wanted { active, .. }) = self.wanted(vcpu) else {
                return;
            };
            let known = active.added.min(LIST_REGISTERS);
            if known == 0 {
                return;
            }
            for &key in active.keys.iter().take(known.min(count)) {
                self.end(Source::Interface(vcpu), intid_of(key), effects);
            }
            count = count.saturating_sub(known);
        }
    }

    /// Whether a vCPU that is not running has an interrupt that ends a `WFI`: by enables, groups and
    /// `ICC_PMR_EL1` as they were at its last exit. One whose redistributor is asleep is woken by
    /// any interrupt that is for it.
    pub fn has_pending(&self, vcpu: usize) -> bool {
        let Some(state) = self.vcpus.get(vcpu) else {
            return false;
        };
        state.queue.iter().any(|intid| {
            self.interrupt(Source::Interface(vcpu), intid as u32)
                .is_some_and(|interrupt| {
                    interrupt.is_ready()
                        && self.forwards(interrupt)
                        && (state.asleep
                            || state.takes(interrupt.is(flag::GROUP_1))
                                && interrupt.priority < state.priority_mask())
                })
        })
    }
}

impl Vcpu {
    /// Whether priority drop and deactivation are separate.
    const fn separates_deactivation(&self) -> bool {
        self.machine_control & machine_control::SEPARATE_DEACTIVATION != 0
    }
}

impl Wanted {
    /// How many list registers active and pending interrupts get of so many.
    fn shares(&self, list_registers: usize) -> (usize, usize) {
        let reserved = usize::from(self.open > 0);
        let active = self.active.added.min(list_registers - reserved);
        (active, self.pending.added.min(list_registers - active))
    }

    /// `ICH_HCR_EL2`, when so many are loaded.
    const fn control(&self, active: usize, pending: usize) -> u64 {
        let mut control = 0;
        // An interrupt may be deactivated on another vCPU than the one that has it in a list
        // register, or after it has lost its list register: this model has to see it.
        if self.separate {
            control |= gic_control::TRAP_DEACTIVATION;
        } else if active < self.active.added {
            control |= gic_control::ENTRY_NOT_PRESENT;
        }
        if pending < self.open {
            control |= gic_control::NO_PENDING;
            if self.open_groups & 1 != 0 {
                control |= gic_control::GROUP_0_DISABLED;
            }
            if self.open_groups & 2 != 0 {
                control |= gic_control::GROUP_1_DISABLED;
            }
        }
        if pending < self.pending.added {
            if self.closed_groups & 1 != 0 {
                control |= gic_control::GROUP_0_ENABLED;
            }
            if self.closed_groups & 2 != 0 {
                control |= gic_control::GROUP_1_ENABLED;
            }
        }
        control
    }
}
