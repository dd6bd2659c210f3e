//! One interrupt: what the distributor or a redistributor knows about it.

use super::list_register::ListRegister;

/// Stands for no vCPU.
pub(super) const NOWHERE: u16 = u16::MAX;

/// Bits of a priority that there are: five, the least that a virtual CPU interface may have, so
/// that the RMM accepts every one.
pub(super) const PRIORITY_MASK: u8 = 0xf8;

/// `GICD_IROUTER.Interrupt_Routing_Mode`: to any one vCPU.
pub(super) const ROUTE_TO_ANY: u32 = 1 << 31;

/// Bits of [`Interrupt::flags`].
pub(super) mod flag {
    /// Enabled.
    pub(in super::super) const ENABLED: u16 = 1 << 0;
    /// In group 1.
    pub(in super::super) const GROUP_1: u16 = 1 << 1;
    /// Edge-triggered.
    pub(in super::super) const EDGE: u16 = 1 << 2;
    /// The line is up.
    pub(in super::super) const LINE: u16 = 1 << 3;
    /// Pending until acknowledged, by an edge or a write to `ISPENDR`.
    pub(in super::super) const LATCHED: u16 = 1 << 4;
    /// Active. While held: was active when it was loaded.
    pub(in super::super) const ACTIVE: u16 = 1 << 5;
    /// Was in group 1 when it became active.
    pub(in super::super) const ACTIVE_GROUP_1: u16 = 1 << 6;

    /// In a list register of a running vCPU. All that follow are about that.
    pub(in super::super) const HELD: u16 = 1 << 7;
    /// Was loaded as pending.
    pub(in super::super) const LOADED_PENDING: u16 = 1 << 8;
    /// The latch has moved into the list register.
    pub(in super::super) const LOADED_LATCH: u16 = 1 << 9;
    /// The Realm has cleared the pending state since.
    pub(in super::super) const DROP_PENDING: u16 = 1 << 10;
    /// The Realm has cleared the active state since.
    pub(in super::super) const DROP_ACTIVE: u16 = 1 << 11;
    /// The Realm has set the active state since.
    pub(in super::super) const RAISE_ACTIVE: u16 = 1 << 12;

    /// What ends with a stay in a list register.
    pub(super) const OF_STAY: u16 =
        HELD | LOADED_PENDING | LOADED_LATCH | DROP_PENDING | DROP_ACTIVE | RAISE_ACTIVE;
}

/// One interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interrupt {
    flags: u16,
    /// By `IPRIORITYR`.
    pub(super) priority: u8,
    /// The one with which it became active. The virtual CPU interface ends an interrupt only if its
    /// list register still has the priority that it was acknowledged with.
    pub(super) active_priority: u8,
    /// vCPU that it is for, or [`NOWHERE`].
    pub(super) target: u16,
    /// While held or active: the vCPU that has it.
    place: u16,
    /// `IROUTER`, of an SPI.
    pub(super) route: u32,
}

impl Interrupt {
    /// An SPI after reset. All interrupts start in group 1, as they do under KVM: firmware that
    /// takes itself for Non-secure does not write `IGROUPR`.
    pub(super) const fn spi() -> Self {
        Self {
            flags: flag::GROUP_1,
            priority: 0,
            active_priority: 0,
            target: 0,
            place: NOWHERE,
            route: 0,
        }
    }

    /// An SGI or PPI of a vCPU after reset.
    pub(super) const fn private(intid: u32, vcpu: u16) -> Self {
        let flags = if intid < 16 {
            flag::GROUP_1 | flag::EDGE | flag::ENABLED
        } else {
            flag::GROUP_1
        };
        Self {
            flags,
            target: vcpu,
            ..Self::spi()
        }
    }

    /// Whether a flag is set.
    pub(super) const fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Sets or clears a flag.
    pub(super) const fn set(&mut self, flag: u16, value: bool) {
        if value {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// Whether it is pending here. While held, what the list register has is not counted.
    const fn is_pending(&self) -> bool {
        self.is(flag::LATCHED) || !self.is(flag::EDGE) && self.is(flag::LINE)
    }

    /// Whether it waits here to be taken by its target.
    pub(super) const fn is_ready(&self) -> bool {
        self.is(flag::ENABLED) && self.is_pending() && !self.is(flag::ACTIVE | flag::HELD)
    }

    /// The pending bit, as far as it is known.
    pub(super) const fn shows_pending(&self) -> bool {
        self.is_pending() || self.is(flag::LOADED_PENDING) && !self.is(flag::DROP_PENDING)
    }

    /// The active bit, as far as it is known.
    pub(super) const fn shows_active(&self) -> bool {
        self.is(flag::ACTIVE) && !self.is(flag::DROP_ACTIVE) || self.is(flag::RAISE_ACTIVE)
    }

    /// The vCPU that has it in a list register.
    pub(super) const fn holder(&self) -> Option<usize> {
        if self.is(flag::HELD) {
            Some(self.place as usize)
        } else {
            None
        }
    }

    /// The vCPU whose queue it is in: where it is active, or else where it is to be taken.
    pub(super) const fn queue(&self) -> Option<usize> {
        let vcpu = if self.is(flag::HELD) {
            NOWHERE
        } else if self.is(flag::ACTIVE) {
            self.place
        } else if self.is_ready() {
            self.target
        } else {
            NOWHERE
        };
        if vcpu == NOWHERE {
            None
        } else {
            Some(vcpu as usize)
        }
    }

    /// Whether its holder must exit because this has become that.
    ///
    /// Not for a line: the holder of a level-triggered interrupt exits when it has ended, and a line
    /// that falls before is noticed late, as it may be in hardware.
    pub(super) const fn concerns_holder(&self, now: &Self) -> bool {
        (self.flags ^ now.flags) & !flag::LINE != 0
            || self.priority != now.priority
            || self.target != now.target
    }

    /// The Realm clears the pending state.
    pub(super) const fn clear_pending(&mut self) {
        self.set(flag::LATCHED, false);
        if self.is(flag::LOADED_PENDING) {
            self.set(flag::DROP_PENDING, true);
        }
    }

    /// The Realm sets the active state.
    pub(super) const fn set_active(&mut self) {
        if self.is(flag::HELD) {
            self.set(flag::RAISE_ACTIVE, true);
            self.set(flag::DROP_ACTIVE, false);
        } else if !self.is(flag::ACTIVE) {
            self.place = self.target;
            self.become_active(self.priority, self.is(flag::GROUP_1));
        }
    }

    /// The active state ends. Whether it does so here and now.
    pub(super) const fn clear_active(&mut self) -> bool {
        let was_active = self.is(flag::ACTIVE);
        if self.is(flag::HELD) {
            self.set(flag::DROP_ACTIVE, true);
            self.set(flag::RAISE_ACTIVE, false);
            return false;
        }
        self.set(flag::ACTIVE, false);
        was_active
    }

    const fn become_active(&mut self, priority: u8, group_1: bool) {
        self.set(flag::ACTIVE, true);
        self.set(flag::ACTIVE_GROUP_1, group_1);
        self.active_priority = priority;
    }

    /// Moves it into a list register of a vCPU. `forwarded` says whether the distributor forwards
    /// its group.
    ///
    /// The pending state of an active interrupt goes along only if it is an edge, still for this
    /// vCPU, and can share the list register's priority and group. Otherwise it is kept here until
    /// the interrupt has ended, which a maintenance interrupt tells.
    pub(super) fn load(&mut self, intid: u32, vcpu: u16, forwarded: bool) -> ListRegister {
        let active = self.is(flag::ACTIVE);
        let (priority, group_1) = if active {
            (self.active_priority, self.is(flag::ACTIVE_GROUP_1))
        } else {
            (self.priority, self.is(flag::GROUP_1))
        };
        let wanted = self.is(flag::ENABLED) && self.is_pending() && forwarded;
        let fits = self.target == vcpu
            && (!active
                || self.is(flag::EDGE)
                    && priority == self.priority
                    && group_1 == self.is(flag::GROUP_1));
        let pending = wanted && fits;
        self.set(flag::HELD, true);
        self.set(flag::LOADED_PENDING, pending);
        self.set(flag::LOADED_LATCH, pending && self.is(flag::LATCHED));
        if pending {
            self.set(flag::LATCHED, false);
        }
        self.place = vcpu;
        ListRegister {
            intid,
            pending,
            active,
            group_1,
            priority,
            notify_end: !self.is(flag::EDGE) || wanted && !fits,
        }
    }

    /// Takes it back from a list register. Whether the Realm has ended it.
    pub(super) fn unload(&mut self, from: &ListRegister) -> bool {
        let was_active = self.is(flag::ACTIVE);
        let was_pending = self.is(flag::LOADED_PENDING);
        let mut ended = !from.active && (was_active || was_pending && !from.pending);
        let mut active = from.active;
        if active && self.is(flag::DROP_ACTIVE) {
            active = false;
            ended = true;
        }
        if from.pending && self.is(flag::LOADED_LATCH) && !self.is(flag::DROP_PENDING) {
            self.set(flag::LATCHED, true);
        }
        if active {
            self.become_active(from.priority, from.group_1);
        } else if self.is(flag::RAISE_ACTIVE) {
            self.become_active(self.priority, self.is(flag::GROUP_1));
        } else {
            self.set(flag::ACTIVE, false);
        }
        self.set(flag::OF_STAY, false);
        ended
    }
}
