//! What the vCPUs of a VM share while they run: the interrupt controller, which of them are switched
//! on, and whether the Realm has stopped. Behind the interrupt lock, so nothing here allocates.

use crate::realm::Realm;
use crate::vgic::{Effects, Error, MAX_VCPUS, Set, Vgic};

const WORDS: usize = MAX_VCPUS / 64;
/// First SPI.
const FIRST_SPI: u32 = 32;

/// How a Realm has ended itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemEvent {
    /// PSCI `SYSTEM_OFF`.
    Shutdown,
    /// PSCI `SYSTEM_RESET`.
    Reset,
}

/// What has to be done once the interrupt lock is released.
#[derive(Debug)]
pub struct Consequences {
    pub(crate) effects: Effects,
    woken: Set<WORDS>,
}

impl Consequences {
    /// Of something that happens on the thread of a vCPU.
    pub const fn on_vcpu(vcpu: usize) -> Self {
        Self {
            effects: Effects::on_vcpu(vcpu),
            woken: Set::EMPTY,
        }
    }

    /// Of something that happens elsewhere.
    pub const fn elsewhere() -> Self {
        Self {
            effects: Effects::elsewhere(),
            woken: Set::EMPTY,
        }
    }

    /// vCPUs that have something to see to.
    pub fn kicked(&self) -> impl Iterator<Item = usize> + use<> {
        let mut all = self.woken;
        self.effects
            .kicked()
            .iter()
            .for_each(|vcpu| all.insert(vcpu));
        all.iter()
    }
}

/// The shared state.
#[derive(Debug)]
pub struct Interrupts {
    gic: Option<Vgic>,
    vcpus: usize,
    on: Set<WORDS>,
    /// vCPUs that were told to switch on since they were last entered. One of these that exits to
    /// switch off may have been told so in between: it is entered, and the RMM knows.
    told_on: Set<WORDS>,
    stopped: Option<SystemEvent>,
    watched: Set<{ 1024 / 64 }>,
}

impl Default for Interrupts {
    fn default() -> Self {
        Self::new()
    }
}

impl Interrupts {
    /// Nothing there yet.
    pub const fn new() -> Self {
        Self {
            gic: None,
            vcpus: 0,
            on: Set::EMPTY,
            told_on: Set::EMPTY,
            stopped: None,
            watched: Set::EMPTY,
        }
    }

    /// From now on there is an interrupt controller, for so many vCPUs. Gives back what was there
    /// before, to be dropped outside the lock.
    pub fn set_gic(&mut self, gic: Vgic, vcpus: usize) -> Option<Vgic> {
        self.vcpus = vcpus;
        self.gic.replace(gic)
    }

    pub(crate) fn gic(&mut self) -> Option<&mut Vgic> {
        self.gic.as_mut()
    }

    pub(crate) const fn gic_ref(&self) -> Option<&Vgic> {
        self.gic.as_ref()
    }

    /// A vCPU is on from now on: the answer to PSCI `CPU_ON`.
    pub fn switch_on(&mut self, vcpu: usize, consequences: &mut Consequences) {
        self.on.insert(vcpu);
        self.told_on.insert(vcpu);
        consequences.woken.insert(vcpu);
    }

    /// The Realm begins: its vCPUs are on or off as they were initialised.
    pub fn begin(&mut self, realm: &Realm) {
        for vcpu in (0..realm.vcpus()).filter(|&vcpu| !realm.begins_off(vcpu)) {
            self.on.insert(vcpu);
        }
    }

    /// A vCPU has switched itself off, and stays so unless it was told otherwise meanwhile.
    pub(crate) fn switch_off(&mut self, vcpu: usize) {
        if !self.told_on.contains(vcpu) {
            self.on.remove(vcpu);
        }
    }

    pub(crate) fn is_on(&self, vcpu: usize) -> bool {
        self.on.contains(vcpu)
    }

    /// Whether a vCPU was told to switch on and has not been entered since.
    pub(crate) fn is_told_on(&self, vcpu: usize) -> bool {
        self.told_on.contains(vcpu)
    }

    /// A vCPU is being entered; whether it was told to switch on since its last entry.
    pub(crate) fn entering(&mut self, vcpu: usize) -> bool {
        let told = self.told_on.contains(vcpu);
        self.told_on.remove(vcpu);
        told
    }

    /// The Realm has stopped.
    pub(crate) fn stop(&mut self, event: SystemEvent, consequences: &mut Consequences) {
        self.stopped.get_or_insert(event);
        (0..self.vcpus).for_each(|vcpu| consequences.woken.insert(vcpu));
    }

    /// How the Realm has stopped, if it has.
    pub const fn stopped(&self) -> Option<SystemEvent> {
        self.stopped
    }

    /// `KVM_IRQ_LINE`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchInterrupt`], and [`Error::Incomplete`] without an interrupt controller.
    pub fn set_line(
        &mut self,
        line: u32,
        level: bool,
        consequences: &mut Consequences,
    ) -> Result<(), Error> {
        const SPI: u32 = 1;
        const PPI: u32 = 2;
        let gic = self.gic.as_mut().ok_or(Error::Incomplete)?;
        let number = line & 0xffff;
        let vcpu = (line >> 16 & 0xff) + (line >> 28) * 256;
        let effects = &mut consequences.effects;
        match line >> 24 & 0xf {
            SPI if number >= FIRST_SPI => gic.set_spi_level(number, level, effects),
            PPI if (16..32).contains(&number) => {
                gic.set_ppi_level(vcpu as usize, number, level, effects)
            }
            _ => Err(Error::NoSuchInterrupt),
        }
    }

    /// Sets the line of an SPI by its number from zero on.
    ///
    /// # Errors
    ///
    /// Those of [`Self::set_line`].
    pub fn set_spi(
        &mut self,
        gsi: u32,
        level: bool,
        consequences: &mut Consequences,
    ) -> Result<(), Error> {
        let gic = self.gic.as_mut().ok_or(Error::Incomplete)?;
        let spi = gsi.checked_add(FIRST_SPI).ok_or(Error::NoSuchInterrupt)?;
        gic.set_spi_level(spi, level, &mut consequences.effects)
    }

    /// Whether somebody wants to know when the Realm is done with an SPI, by its number from zero on.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchInterrupt`] for one that there can never be.
    pub fn watch(&mut self, gsi: u32, watch: bool) -> Result<(), Error> {
        const MOST: u32 = 1020;
        let spi = gsi.checked_add(FIRST_SPI).filter(|&spi| spi < MOST);
        let spi = spi.ok_or(Error::NoSuchInterrupt)? as usize;
        if watch {
            self.watched.insert(spi);
        } else {
            self.watched.remove(spi);
        }
        Ok(())
    }

    /// SPIs, by number from zero on, that the Realm is done with and somebody wants to know of.
    pub fn done(&self, consequences: &Consequences) -> Set<{ 1024 / 64 }> {
        let mut done = Set::EMPTY;
        for spi in consequences.effects.deactivated().iter() {
            if self.watched.contains(spi) {
                done.insert(spi.saturating_sub(FIRST_SPI as usize));
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_learns_that_the_realm_has_stopped() {
        let mut interrupts = Interrupts::new();
        interrupts.vcpus = 3;
        let mut consequences = Consequences::on_vcpu(1);
        interrupts.stop(SystemEvent::Reset, &mut consequences);
        assert!(consequences.kicked().eq(0..3));
        // The first word counts.
        interrupts.stop(SystemEvent::Shutdown, &mut consequences);
        assert_eq!(interrupts.stopped(), Some(SystemEvent::Reset));
    }
}
