//! Realms that run the payload of the initial RAM disk.

use alloc::vec::Vec;

use ns_host::measurement::Initial;
use realm_payload::{IMAGE_BASE, ImageHeader};
use rmm_abi::rmi::{DATA_MEASURE, HashAlgorithm, REC_RUNNABLE, RealmParams, realm_flags};
use rmm_abi::smc::psci;

use super::command::{self, Replied};
use super::exit::Exit;
use super::vcpu::Vcpu;
use super::{PAGE_LEVEL, Realm, Shape, TWO_MEGABYTES, entry_size, write_page};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::rmi::commands;
use crate::suite::Host;

/// Where the payload is linked.
pub(crate) const IMAGE: u64 = IMAGE_BASE;
/// Two megabytes of RAM to which the host has given no memory.
pub(crate) const SPARE: u64 = IMAGE + TWO_MEGABYTES;
/// First address behind all RAM.
pub(crate) const RAM_END: u64 = SPARE + TWO_MEGABYTES;
/// A page that is no RAM and for which there is a table.
pub(crate) const NO_RAM: u64 = SPARE - GRANULE;

/// What is special about a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) shape: Shape,
    pub(crate) hash: HashAlgorithm,
    /// Length of its vectors as (bits / 128) − 1.
    pub(crate) sve: Option<u8>,
    /// Event counters of its PMU.
    pub(crate) pmu: Option<u8>,
    /// Breakpoints − 1.
    pub(crate) breakpoints: u8,
    /// Watchpoints − 1.
    pub(crate) watchpoints: u8,
    pub(crate) rpv: [u8; 64],
    /// Virtual machine identifier; one that no other Realm has without it.
    pub(crate) vmid: Option<u16>,
    /// RECs; the first is runnable, the others wait for PSCI.
    pub(crate) recs: usize,
}

impl Options {
    /// One REC and nothing special.
    pub(crate) const PLAIN: Self = Self {
        shape: Shape::USUAL,
        hash: HashAlgorithm::Sha256,
        sve: None,
        pmu: None,
        breakpoints: 1,
        watchpoints: 1,
        rpv: [0; 64],
        vmid: None,
        recs: 1,
    };

    /// The same with more RECs.
    pub(crate) const fn with_recs(recs: usize) -> Self {
        Self {
            recs,
            ..Self::PLAIN
        }
    }

    fn apply(&self, params: &mut RealmParams) {
        params.hash_algo = self.hash as u8;
        if let Some(length) = self.sve {
            params.flags |= realm_flags::SVE;
            params.sve_vl = length;
        }
        if let Some(counters) = self.pmu {
            params.flags |= realm_flags::PMU;
            params.pmu_num_ctrs = counters;
        }
        params.num_bps = self.breakpoints;
        params.num_wps = self.watchpoints;
        params.rpv = self.rpv;
        if let Some(vmid) = self.vmid {
            params.vmid = vmid;
        }
    }
}

/// A Realm with the payload, ready to run.
pub(crate) struct RunningRealm<'h> {
    pub(crate) realm: Realm<'h>,
    pub(crate) vcpus: Vec<Vcpu>,
    /// What the RMM must have measured.
    pub(crate) measurement: Initial,
    pub(crate) options: Options,
}

/// Where the payload is in the host's memory, and what it says about itself.
fn payload(host: &Host) -> Outcome<(&'static [u8], ImageHeader)> {
    let Some(image) = host.machine.initrd() else {
        return fail!("the machine was started without a payload for Realms");
    };
    match ImageHeader::of(image) {
        Some(header) => Ok((image, header)),
        None => fail!("the initial RAM disk is no payload for Realms"),
    }
}

impl<'h> RunningRealm<'h> {
    /// A Realm with one REC whose payload waits for its first command.
    pub(crate) fn plain(host: &'h Host) -> Outcome<Self> {
        Self::greeted(host, Options::PLAIN)
    }

    /// A Realm whose first REC waits for its first command.
    pub(crate) fn greeted(host: &'h Host, options: Options) -> Outcome<Self> {
        let mut realm = Self::new(host, options)?;
        let hello = realm.vcpus[0].greet()?;
        ensure_word!(hello.rec, 0, "number of the first REC");
        Ok(realm)
    }

    /// A Realm that is active and has not run.
    pub(crate) fn new(host: &'h Host, options: Options) -> Outcome<Self> {
        let realm = Self::inactive(host, options)?;
        realm.realm.activate()?;
        Ok(realm)
    }

    /// A Realm with everything in it that is not active yet.
    pub(crate) fn inactive(host: &'h Host, options: Options) -> Outcome<Self> {
        let (image, header) = payload(host)?;
        let realm = Realm::with(host, options.shape, |params| options.apply(params))?;
        let mut params = realm.params();
        options.apply(&mut params);
        let mut running = Self {
            realm,
            vcpus: Vec::new(),
            measurement: Initial::new(&params),
            options,
        };
        running.load(image, &header)?;
        for index in 0..options.recs {
            running.add_rec(host, index)?;
        }
        Ok(running)
    }

    fn load(&mut self, image: &[u8], header: &ImageHeader) -> Outcome {
        let end = IMAGE + header.memory_size.next_multiple_of(GRANULE);
        self.realm.tables(IMAGE, PAGE_LEVEL)?;
        self.init_ripas(IMAGE, end, PAGE_LEVEL)?;
        // One entry of the table above: there is no table for these addresses yet.
        self.init_ripas(SPARE, RAM_END, PAGE_LEVEL - 1)?;
        let file_end = IMAGE + header.file_size;
        let mut pages = image.chunks(0x1000);
        for ipa in (IMAGE..end).step_by(0x1000) {
            let Some(page) = pages.next() else {
                self.realm.data_unknown(ipa)?;
                continue;
            };
            let mut content = [0; 0x1000];
            content[..page.len()].copy_from_slice(page);
            write_page(self.realm.page, &content)?;
            self.realm.data(ipa, DATA_MEASURE)?;
            self.measurement.data(ipa, DATA_MEASURE, &content);
        }
        ensure!(end >= file_end, "the payload is larger than its memory");
        Ok(())
    }

    fn init_ripas(&mut self, base: u64, top: u64, level: i8) -> Outcome {
        self.realm.init_ripas(base, top)?;
        let mut entry = base;
        while entry < top {
            let next = entry + entry_size(level);
            self.measurement.ripas(entry, next.min(top));
            entry = next;
        }
        Ok(())
    }

    /// An address of the unprotected half, as the payload sees it too.
    pub(crate) const fn unprotected(&self, offset: u64) -> u64 {
        self.realm.shape.half() + offset
    }

    fn add_rec(&mut self, host: &Host, index: usize) -> Outcome {
        let measurement = &mut self.measurement;
        let rec = self.realm.rec_with(|params| {
            params.flags = if index == 0 { REC_RUNNABLE } else { 0 };
            params.pc = IMAGE;
            params.gprs[0] = index as u64;
            measurement.rec(params);
        })?;
        self.vcpus.push(Vcpu::new(host, rec)?);
        Ok(())
    }

    /// The first REC.
    pub(crate) fn first(&mut self) -> &mut Vcpu {
        &mut self.vcpus[0]
    }

    /// Lets the first REC switch another one on, which then waits for its first command.
    pub(crate) fn switch_on(&mut self, index: usize) -> Outcome {
        let entry = self.vcpus[0].hello.secondary_entry;
        let call = [psci::CPU_ON, index as u64, entry, index as u64];
        let report = self.vcpus[0].begin(&command::smc(&call))?;
        let target = self.vcpus[index].rec;
        ensure!(
            report.exit == Exit::psci(psci::CPU_ON, [call[1], call[2], call[3]]),
            "exit of CPU_ON: {:x?}",
            report.exit
        );
        let calling = &mut self.vcpus[0];
        commands::psci_complete(calling.rec, target, psci::SUCCESS)?
            .done("PSCI_COMPLETE of CPU_ON")?;
        let report = calling.run()?;
        let results = calling.finish(&report)?.done("CPU_ON")?;
        ensure_word!(results[0], 0, "result of CPU_ON of REC {index}");
        let hello = self.vcpus[index].greet()?;
        ensure_word!(hello.rec, index as u64, "number of REC {index}");
        Ok(())
    }

    /// Destroys all of it and takes all memory back, which must be full of zeroes.
    pub(crate) fn tear_down(self) -> Outcome {
        self.realm.tear_down()
    }
}
