//! `ICH_LR<n>_EL2`, as far as the RMM accepts it.

/// An entry of a list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "bits of a register")]
pub(super) struct ListRegister {
    pub(super) intid: u32,
    pub(super) pending: bool,
    pub(super) active: bool,
    pub(super) group_1: bool,
    pub(super) priority: u8,
    /// A maintenance interrupt tells of its end (`EOI`).
    pub(super) notify_end: bool,
}

const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
const GROUP_1: u64 = 1 << 60;
const PRIORITY_SHIFT: u32 = 48;
const NOTIFY_END: u64 = 1 << 41;

impl ListRegister {
    /// The bits.
    pub(super) const fn encode(&self) -> u64 {
        const fn when(condition: bool, bits: u64) -> u64 {
            if condition { bits } else { 0 }
        }
        self.intid as u64
            | when(self.pending, PENDING)
            | when(self.active, ACTIVE)
            | when(self.group_1, GROUP_1)
            | when(self.notify_end, NOTIFY_END)
            | (self.priority as u64) << PRIORITY_SHIFT
    }

    /// What the bits say.
    pub(super) const fn decode(bits: u64) -> Self {
        Self {
            intid: (bits & 0xffff_ffff) as u32,
            pending: bits & PENDING != 0,
            active: bits & ACTIVE != 0,
            group_1: bits & GROUP_1 != 0,
            priority: (bits >> PRIORITY_SHIFT & 0xff) as u8,
            notify_end: bits & NOTIFY_END != 0,
        }
    }

    /// Whether it is in use.
    pub(super) const fn is_valid(&self) -> bool {
        self.pending || self.active
    }
}
