//! RECs, and what is said of vCPUs before there are any.

use rmm_abi::rmi::{MAX_REC_AUX, REC_RUNNABLE, RecParams};
use rmm_abi::smc::psci;

use super::build::write_structure;
use super::ripas::RipasRequest;
use super::{Realm, RealmError};
use crate::granules;
use crate::host::Host;
use crate::pool::Page;
use crate::rmi;
use crate::vgic::MAX_VCPUS;

/// Registers that a vCPU begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// Program counter.
    pub pc: u64,
    /// X0 to X7.
    pub general: [u64; 8],
}

/// A vCPU before it has a REC.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VcpuSetup {
    present: bool,
    initialised: bool,
    off: bool,
    registers: Registers,
}

/// A REC and its auxiliary granules.
#[derive(Debug)]
pub(super) struct Rec {
    pub(super) page: Page,
    pub(super) aux: [Option<Page>; MAX_REC_AUX],
    /// The change of RIPAS that it waits for.
    pub(super) ripas: Option<RipasRequest>,
}

impl Rec {
    pub(super) fn pages(&self) -> impl Iterator<Item = Page> {
        self.aux.into_iter().flatten().chain([self.page])
    }
}

/// What `KVM_SET_ONE_REG` calls the registers: `KVM_REG_ARM64 | KVM_REG_SIZE_U64 |
/// KVM_REG_ARM_CORE`, and the offset into `struct kvm_regs` in words of 32 bits.
mod register_id {
    pub(super) const CORE: u64 = 0x6030_0000_0010_0000;
    pub(super) const PC: u64 = CORE + 2 * 32;
}

/// The vCPU of an affinity (`MPIDR_EL1` bits 23:0); `None` for one that none can have.
pub fn index_of(affinity: u64) -> Option<usize> {
    let index = affinity & 0xf | (affinity >> 8 & 0xff) << 4 | (affinity >> 16 & 0xff) << 12;
    let index = usize::try_from(index).ok()?;
    (affinity_of(index) == affinity).then_some(index)
}

/// The affinity of a vCPU. It is also what the RMM wants for an MPIDR.
pub fn affinity_of(index: usize) -> u64 {
    u64::from(crate::vgic::affinity(index))
}

impl Realm {
    /// Adds a vCPU.
    ///
    /// # Errors
    ///
    /// [`RealmError::Invalid`] when there can be none of this number, [`RealmError::Exists`],
    /// [`RealmError::Busy`] when the interrupt controller is ready.
    pub fn add_vcpu(&mut self, index: usize) -> Result<(), RealmError> {
        if index >= most_vcpus(self.features) {
            return Err(RealmError::Invalid);
        }
        if self.vcpus.get(index).is_some_and(|vcpu| vcpu.present) {
            return Err(RealmError::Exists);
        }
        if self.gic_ready || self.active || !self.recs.is_empty() {
            return Err(RealmError::Busy);
        }
        if index >= self.vcpus.len() {
            self.vcpus.try_reserve(index + 1 - self.vcpus.len())?;
            self.vcpus.resize(index + 1, VcpuSetup::default());
        }
        if let Some(vcpu) = self.vcpus.get_mut(index) {
            vcpu.present = true;
        }
        Ok(())
    }

    fn vcpu_mut(&mut self, index: usize) -> Result<&mut VcpuSetup, RealmError> {
        if self.active || !self.recs.is_empty() {
            return Err(RealmError::Busy);
        }
        self.vcpus.get_mut(index).ok_or(RealmError::Invalid)
    }

    /// `KVM_ARM_VCPU_INIT`.
    ///
    /// # Errors
    ///
    /// [`RealmError::Invalid`] for another target, and for features that are none of a Realm's;
    /// [`RealmError::Busy`].
    pub fn initialise_vcpu(
        &mut self,
        index: usize,
        target: u32,
        features: &[u32; 7],
    ) -> Result<(), RealmError> {
        const GENERIC: u32 = 5;
        const POWER_OFF: u32 = 1 << 0;
        const PSCI_0_2: u32 = 1 << 2;
        let [first, others @ ..] = features;
        let unknown = first & !(POWER_OFF | PSCI_0_2) != 0 || others.iter().any(|&w| w != 0);
        if target != GENERIC || unknown || first & PSCI_0_2 == 0 {
            return Err(RealmError::Invalid);
        }
        let vcpu = self.vcpu_mut(index)?;
        vcpu.initialised = true;
        vcpu.off = first & POWER_OFF != 0;
        Ok(())
    }

    fn register(registers: &mut Registers, id: u64) -> Result<&mut u64, RealmError> {
        if id == register_id::PC {
            return Ok(&mut registers.pc);
        }
        let offset = id.wrapping_sub(register_id::CORE);
        let number = usize::try_from(offset / 2).map_err(|_| RealmError::NoSuchRegister)?;
        let register = registers.general.get_mut(number);
        register
            .filter(|_| offset.is_multiple_of(2))
            .ok_or(RealmError::NoSuchRegister)
    }

    /// `KVM_SET_ONE_REG`.
    ///
    /// # Errors
    ///
    /// [`RealmError::NoSuchRegister`], [`RealmError::Busy`].
    pub fn set_register(&mut self, index: usize, id: u64, value: u64) -> Result<(), RealmError> {
        *Self::register(&mut self.vcpu_mut(index)?.registers, id)? = value;
        Ok(())
    }

    /// `KVM_GET_ONE_REG`.
    ///
    /// # Errors
    ///
    /// [`RealmError::NoSuchRegister`], [`RealmError::Busy`].
    pub fn get_register(&mut self, index: usize, id: u64) -> Result<u64, RealmError> {
        Ok(*Self::register(&mut self.vcpu_mut(index)?.registers, id)?)
    }

    /// Whether a vCPU begins switched off.
    pub fn begins_off(&self, index: usize) -> bool {
        self.vcpus.get(index).is_none_or(|vcpu| vcpu.off)
    }

    /// vCPUs.
    pub fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    pub(super) fn check_vcpus_present(&self) -> Result<(), RealmError> {
        let all = self.vcpus.iter().all(|vcpu| vcpu.present);
        if all {
            Ok(())
        } else {
            Err(RealmError::Invalid)
        }
    }

    pub(super) fn check_vcpus_ready(&self) -> Result<(), RealmError> {
        let ready = |vcpu: &VcpuSetup| vcpu.present && vcpu.initialised;
        if self.vcpus.iter().all(ready) {
            Ok(())
        } else {
            Err(RealmError::Invalid)
        }
    }

    /// RECs for all vCPUs, in the order of their numbers.
    pub(super) fn create_recs(&mut self, host: &impl Host, rd: Page) -> Result<(), RealmError> {
        let aux = rmi::rec_aux_count(host, rd)?;
        let aux = usize::try_from(aux).unwrap_or(usize::MAX);
        if aux > MAX_REC_AUX {
            return Err(RealmError::Rmm(rmi::RmiError::Unknown(aux as u64)));
        }
        while let Some(&setup) = self.vcpus.get(self.recs.len()) {
            if host.interrupted() {
                return Err(RealmError::Interrupted);
            }
            self.recs.try_reserve(1)?;
            let mut rec = Rec {
                page: granules::take_delegated(host)?,
                aux: [None; MAX_REC_AUX],
                ripas: None,
            };
            if let Err(error) = self.create_rec(host, rd, &mut rec, aux, &setup) {
                rec.pages().for_each(|page| granules::give_back(host, page));
                return Err(error);
            }
            self.recs.push(rec);
        }
        Ok(())
    }

    fn create_rec(
        &self,
        host: &impl Host,
        rd: Page,
        rec: &mut Rec,
        aux: usize,
        setup: &VcpuSetup,
    ) -> Result<(), RealmError> {
        let descriptor = self.descriptor.as_ref().ok_or(RealmError::Busy)?;
        for place in rec.aux.iter_mut().take(aux) {
            *place = Some(granules::take_delegated(host)?);
        }
        write_structure(host, descriptor.scratch, |params: &mut RecParams| {
            if !setup.off {
                params.flags |= REC_RUNNABLE;
            }
            params.mpidr = affinity_of(self.recs.len());
            params.pc = setup.registers.pc;
            params.gprs = setup.registers.general;
            params.num_aux = aux as u64;
            for (place, page) in params.aux.iter_mut().zip(rec.aux) {
                *place = page.map_or(0, Page::address);
            }
        })?;
        Ok(rmi::rec_create(host, rd, rec.page, descriptor.scratch)?)
    }

    /// The granule of a vCPU's REC.
    pub fn rec(&self, index: usize) -> Option<Page> {
        self.recs.get(index).map(|rec| rec.page)
    }

    /// Answers the PSCI call of a vCPU about another one, which is named by its affinity. Gives the
    /// number of the other one.
    ///
    /// # Errors
    ///
    /// [`RealmError::Invalid`] when the RMM does not take the answer.
    pub fn complete_psci(
        &self,
        host: &impl Host,
        calling: usize,
        target: u64,
        status: i32,
    ) -> Result<usize, RealmError> {
        let index = index_of(target).ok_or(RealmError::Invalid)?;
        let calling = self.rec(calling).ok_or(RealmError::Busy)?;
        let target = self.rec(index).ok_or(RealmError::Invalid)?;
        let permitted = [psci::SUCCESS, psci::DENIED].contains(&i64::from(status));
        if target == calling || !permitted {
            return Err(RealmError::Invalid);
        }
        let status = i64::from(status).cast_unsigned();
        match rmi::psci_complete(host, calling, target, status) {
            Ok(()) => Ok(index),
            Err(rmi::RmiError::Input) => Err(RealmError::Invalid),
            Err(error) => Err(error.into()),
        }
    }
}

/// vCPUs that a VM may have with an RMM.
pub fn most_vcpus(features: rmi::Features) -> usize {
    let order = u32::from(features.register().max_recs_order);
    ((1_usize << order) - 1).min(MAX_VCPUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities() {
        for index in [0, 1, 15, 16, 511] {
            assert_eq!(index_of(affinity_of(index)), Some(index));
        }
        assert_eq!(affinity_of(0x1f), 0x10f);
        for none in [0x10, 1 << 24, 1 << 31, !0] {
            assert_eq!(index_of(none), None, "{none:#x}");
        }
    }
}
