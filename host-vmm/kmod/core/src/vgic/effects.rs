//! What a change of the interrupt controller entails elsewhere.

use super::MAX_VCPUS;

/// A set of small numbers, in `WORDS` words of 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Set<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Set<WORDS> {
    /// The set without members.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Adds a number; one that there is no room for is left out.
    pub fn insert(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Removes a number.
    pub fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: usize) -> bool {
        self.0
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The members, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<WORDS> {
        self.0.into_iter().enumerate().flat_map(|(index, word)| {
            core::iter::successors(Some(word), |&rest| Some(rest & rest.wrapping_sub(1)))
                .take_while(|&rest| rest != 0)
                .map(move |rest| index * 64 + rest.trailing_zeros() as usize)
        })
    }
}

/// What is to be done after calls of the [`Vgic`](super::Vgic), once its lock is released.
#[derive(Clone, Copy, Debug)]
pub struct Effects {
    /// The vCPU on whose thread this happens.
    actor: Option<usize>,
    kicked: Set<{ MAX_VCPUS / 64 }>,
    deactivated: Set<{ 1024 / 64 }>,
}

impl Effects {
    /// Of something that happens on the thread of a vCPU, which is not running meanwhile and calls
    /// [`Vgic::fill`](super::Vgic::fill) before it runs again: it is never kicked.
    pub const fn on_vcpu(vcpu: usize) -> Self {
        Self {
            actor: Some(vcpu),
            ..Self::elsewhere()
        }
    }

    /// Of something that happens elsewhere: a device, a timer.
    pub const fn elsewhere() -> Self {
        Self {
            actor: None,
            kicked: Set::EMPTY,
            deactivated: Set::EMPTY,
        }
    }

    /// vCPUs that must look again: one that runs has to exit, one that waits in `WFI` has to ask
    /// [`Vgic::has_pending`](super::Vgic::has_pending). For others there is nothing to do.
    pub const fn kicked(&self) -> &Set<{ MAX_VCPUS / 64 }> {
        &self.kicked
    }

    /// SPIs, by INTID, that the Realm has deactivated while their lines are up: level-triggered
    /// sources resample. If the source is done, its line has to be lowered before any vCPU is
    /// filled, or the Realm may take the interrupt once more.
    pub const fn deactivated(&self) -> &Set<{ 1024 / 64 }> {
        &self.deactivated
    }

    pub(super) fn kick(&mut self, vcpu: usize) {
        if self.actor != Some(vcpu) {
            self.kicked.insert(vcpu);
        }
    }

    pub(super) fn deactivate(&mut self, spi: u32) {
        self.deactivated.insert(spi as usize);
    }
}
