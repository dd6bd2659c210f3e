//! The interrupt controller as the architecture describes it: no list registers, no exits, one
//! place for everything.

use std::collections::BTreeMap;

/// What is known about an interrupt.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "bits of registers")]
pub(crate) struct Interrupt {
    pub(crate) enabled: bool,
    pub(crate) group_1: bool,
    pub(crate) edge: bool,
    pub(crate) line: bool,
    pub(crate) latched: bool,
    pub(crate) priority: u8,
    /// vCPU that it goes to.
    pub(crate) target: Option<usize>,
    /// vCPU on which it is active.
    pub(crate) active: Option<usize>,
}

impl Interrupt {
    pub(crate) fn pending(&self) -> bool {
        self.latched || !self.edge && self.line
    }
}

/// A CPU interface.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) priority_mask: u8,
    pub(crate) groups: u8,
    pub(crate) separate: bool,
    /// Interrupts whose priorities are active, the last one on top.
    pub(crate) running: Vec<(u32, u8)>,
}

/// An interrupt of a vCPU, or an SPI, whose vCPU is 0.
pub(crate) type Name = (usize, u32);

pub(crate) fn name(vcpu: usize, intid: u32) -> Name {
    (if intid < 32 { vcpu } else { 0 }, intid)
}

#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) interrupts: BTreeMap<Name, Interrupt>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) groups: u8,
}

impl Reference {
    /// As `Machine::new` leaves it, with these interrupts in use.
    pub(crate) fn new(vcpus: usize, private: &[u32], shared: &[u32]) -> Self {
        let mut interrupts = BTreeMap::new();
        for vcpu in 0..vcpus {
            for &intid in private {
                let interrupt = Interrupt {
                    enabled: intid < 16,
                    edge: intid < 16,
                    group_1: true,
                    target: Some(vcpu),
                    ..Interrupt::default()
                };
                interrupts.insert((vcpu, intid), interrupt);
            }
        }
        for &intid in shared {
            let interrupt = Interrupt {
                group_1: true,
                target: Some(0),
                ..Interrupt::default()
            };
            interrupts.insert((0, intid), interrupt);
        }
        let interface = Interface {
            priority_mask: 0xff,
            groups: 3,
            separate: false,
            running: Vec::new(),
        };
        Self {
            interrupts,
            interfaces: vec![interface; vcpus],
            groups: 3,
        }
    }

    pub(crate) fn of(&mut self, name: Name) -> &mut Interrupt {
        self.interrupts.get_mut(&name).expect("an interrupt in use")
    }

    /// What a vCPU could be interrupted by, were it doing nothing.
    fn signalled(&self, vcpu: usize) -> impl Iterator<Item = (u32, u8)> {
        let interface = &self.interfaces[vcpu];
        self.interrupts
            .iter()
            .filter(move |(_, it)| {
                it.enabled
                    && it.pending()
                    && it.active.is_none()
                    && it.target == Some(vcpu)
                    && (self.groups & interface.groups) >> u8::from(it.group_1) & 1 != 0
                    && it.priority < interface.priority_mask
            })
            .map(|(name, it)| (name.1, it.priority))
    }

    /// Whether something ends a `WFI`.
    pub(crate) fn has_pending(&self, vcpu: usize) -> bool {
        self.signalled(vcpu).next().is_some()
    }

    /// What an acknowledgement may return: all of the highest priority.
    pub(crate) fn candidates(&self, vcpu: usize) -> Vec<u32> {
        let running = self.interfaces[vcpu].running.iter();
        let limit = running.map(|&(_, priority)| priority).min();
        let best = self.signalled(vcpu).map(|(_, priority)| priority).min();
        match (best, limit) {
            (Some(best), limit) if limit.is_none_or(|limit| best < limit) => self
                .signalled(vcpu)
                .filter(|&(_, priority)| priority == best)
                .map(|(intid, _)| intid)
                .collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn acknowledge(&mut self, vcpu: usize, intid: u32) {
        let it = self.of(name(vcpu, intid));
        it.latched = false;
        it.active = Some(vcpu);
        let priority = it.priority;
        self.interfaces[vcpu].running.push((intid, priority));
    }

    /// The end of the interrupt on top. Whether a line that is up was deactivated.
    pub(crate) fn end(&mut self, vcpu: usize) -> bool {
        let interface = &mut self.interfaces[vcpu];
        let Some((intid, _)) = interface.running.pop() else {
            return false;
        };
        let name = name(vcpu, intid);
        // It may have been deactivated by a write, and be active elsewhere by now: it is undefined
        // what the end of the first one does to the second.
        !interface.separate && self.of(name).active == Some(vcpu) && self.deactivate(name)
    }

    pub(crate) fn deactivate(&mut self, name: Name) -> bool {
        let it = self.of(name);
        it.active.take().is_some() && it.line && name.1 >= 32
    }
}
