//! From parameters to a Realm that can run.

use alloc::vec::Vec;
use core::ops::Range;

use rmm_abi::rmi::RealmParams;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::configuration::{Shape, entry_size};
use super::slots::pieces;
use super::{Descriptor, Realm, RealmError, UpperTable};
use crate::granules;
use crate::host::Host;
use crate::pool::Page;
use crate::rmi;
use crate::{BLOCK_SIZE, PAGE_SIZE};

/// Writes a structure of a page's size to a page. It is put together on the heap, because the stacks
/// of the kernel are small.
pub(super) fn write_structure<T: FromBytes + IntoBytes + KnownLayout>(
    host: &impl Host,
    page: Page,
    fill: impl FnOnce(&mut T),
) -> Result<(), RealmError> {
    const WORDS: usize = rmm_abi::GRANULE_SIZE / 8;
    let mut words: Vec<u64> = Vec::new();
    words.try_reserve_exact(WORDS)?;
    words.resize(WORDS, 0);
    let structure = T::mut_from_bytes(words.as_mut_bytes()).map_err(|_| RealmError::Invalid)?;
    fill(structure);
    host.write_page(page, words.as_bytes());
    Ok(())
}

impl Realm {
    /// Builds the Realm: descriptor, tables over all slots, and all slots RAM, in ascending order and
    /// in entries of 2 MiB. Does nothing when that is done, and goes on when it is not.
    pub(super) fn build(&mut self, host: &impl Host) -> Result<Page, RealmError> {
        if self.slots.is_empty() {
            return Err(RealmError::Invalid);
        }
        if self.descriptor.is_none() {
            self.create_descriptor(host)?;
        }
        let rd = self.rd()?;
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index) else {
                break;
            };
            let (base, end) = (slot.base.max(self.ram_until), slot.end);
            self.initialise_ram(host, rd, base..end)?;
        }
        Ok(rd)
    }

    fn create_descriptor(&mut self, host: &impl Host) -> Result<(), RealmError> {
        let vmid = host.with_shared(|shared| shared.vmids.take());
        let vmid = vmid.ok_or(RealmError::OutOfMemory)?;
        let result = self.create_descriptor_with(host, vmid);
        if result.is_err() {
            host.with_shared(|shared| shared.vmids.release(vmid));
        }
        result
    }

    fn create_descriptor_with(&mut self, host: &impl Host, vmid: u16) -> Result<(), RealmError> {
        let start_order = Shape::of(self.ipa_bits).start_order;
        let scratch = host.take_pages(0).ok_or(RealmError::OutOfMemory)?;
        let result = granules::take_delegated(host).and_then(|rd| {
            let others = granules::take_delegated(host).and_then(|spare| {
                let start = granules::take_delegated_group(host, start_order);
                start
                    .map(|start| (spare, start))
                    .inspect_err(|_| granules::give_back(host, spare))
            });
            others
                .map(|(spare, start)| (rd, spare, start))
                .inspect_err(|_| granules::give_back(host, rd))
        });
        let (rd, spare, start) = match result {
            Ok(pages) => pages,
            Err(error) => {
                host.give_pages(scratch, 0);
                return Err(error.into());
            }
        };
        let created = write_structure(host, scratch, |params: &mut RealmParams| {
            self.configuration.fill(self.ipa_bits, params);
            params.vmid = vmid;
            params.rtt_base = start.address();
        })
        .and_then(|()| Ok(rmi::realm_create(host, rd, scratch)?));
        if let Err(error) = created {
            let start_tables = (0..1 << start_order).map(|number| start.nth(number));
            for page in start_tables.chain([rd, spare]) {
                granules::give_back(host, page);
            }
            host.give_pages(scratch, 0);
            return Err(error);
        }
        self.descriptor = Some(Descriptor {
            rd,
            start,
            start_order,
            vmid,
            scratch,
            spare: Some(spare),
        });
        Ok(())
    }

    fn initialise_ram(
        &mut self,
        host: &impl Host,
        rd: Page,
        range: Range<u64>,
    ) -> Result<(), RealmError> {
        let mut next = range.start;
        while next < range.end {
            self.ensure_upper_tables(host, rd, next)?;
            host.rest();
            let reached = rmi::rtt_init_ripas(host, rd, next, range.end)?;
            if reached <= next || reached > range.end {
                return Err(RealmError::Rmm(rmi::RmiError::Unknown(reached)));
            }
            next = reached;
            self.ram_until = reached;
            if host.interrupted() {
                return Err(RealmError::Interrupted);
            }
        }
        Ok(())
    }

    /// Sees to the tables down to level 2 over an address of either half.
    pub(super) fn ensure_upper_tables(
        &mut self,
        host: &impl Host,
        rd: Page,
        ipa: u64,
    ) -> Result<(), RealmError> {
        for level in Shape::of(self.ipa_bits).start_level + 1..=2 {
            let table = UpperTable {
                ipa: ipa - ipa % entry_size(level - 1),
                level,
            };
            if self.upper_tables.contains(&table) {
                continue;
            }
            self.upper_tables.try_reserve(1)?;
            let page = granules::take_delegated(host)?;
            if let Err(error) = rmi::rtt_create(host, rd, page, table.ipa, level) {
                granules::give_back(host, page);
                return Err(error.into());
            }
            self.upper_tables.push(table);
        }
        Ok(())
    }

    /// Copies the caller's memory to private memory. Gives the number of bytes that were copied, and
    /// why it ended early if it did.
    pub fn populate(
        &mut self,
        host: &impl Host,
        base: u64,
        size: u64,
        source: u64,
        measured: bool,
    ) -> (u64, Result<(), RealmError>) {
        let begin = host.nanoseconds();
        let mut done = 0;
        let result = self.populate_range(host, base, size, source, measured, &mut done);
        let time = host.nanoseconds().saturating_sub(begin);
        self.populate_nanoseconds = self.populate_nanoseconds.saturating_add(time);
        (done, result)
    }

    fn populate_range(
        &mut self,
        host: &impl Host,
        base: u64,
        size: u64,
        source: u64,
        measured: bool,
        done: &mut u64,
    ) -> Result<(), RealmError> {
        if self.active {
            return Err(RealmError::Busy);
        }
        let range = self.range_in_slots(base, size)?;
        if !source.is_multiple_of(PAGE_SIZE) || source.checked_add(size).is_none() {
            return Err(RealmError::Invalid);
        }
        for piece in pieces(range.clone()) {
            host.rest();
            if host.interrupted() {
                return Err(RealmError::Interrupted);
            }
            let region = self.region(piece.base).ok_or(RealmError::Invalid)?;
            if !region.private.all_are(piece.pages.clone(), true) {
                return Err(RealmError::Invalid);
            }
            if !region.assigned.all_are(piece.pages, false) {
                return Err(RealmError::Exists);
            }
        }
        self.build(host)?;
        for piece in pieces(range) {
            for number in piece.pages {
                if host.interrupted() {
                    return Err(RealmError::Interrupted);
                }
                self.populate_page(host, piece.base, number, source + *done, measured)?;
                *done += PAGE_SIZE;
            }
        }
        Ok(())
    }

    fn populate_page(
        &mut self,
        host: &impl Host,
        base: u64,
        number: usize,
        source: u64,
        measured: bool,
    ) -> Result<(), RealmError> {
        let descriptor = self.descriptor.as_ref().ok_or(RealmError::Busy)?;
        let (rd, scratch) = (descriptor.rd, descriptor.scratch);
        let region = self.region_mut(base).ok_or(RealmError::Invalid)?;
        host.copy_from_user(scratch, source)?;
        region.ensure_table(host, rd, base)?;
        if region.assigned.is_empty() && region.block.is_none() && region.private.is_all() {
            region.block = granules::take_block(host);
        }
        region.assigned.prepare()?;
        let page = region.take_page(host, number)?;
        let ipa = base + number as u64 * PAGE_SIZE;
        if let Err(error) = rmi::data_create(host, rd, page, ipa, scratch, measured) {
            region.return_page(host, number, page);
            return Err(error.into());
        }
        region.assigned.set(number, true);
        Ok(())
    }

    /// Everything up to the first run: the Realm, blocks that are only partly populated, RECs, and
    /// activation. Does nothing when that is done, and goes on when it is not.
    ///
    /// # Errors
    ///
    /// [`RealmError::Invalid`] when slots, numbers of vCPUs or the interrupt controller are missing.
    pub fn start(&mut self, host: &impl Host) -> Result<(), RealmError> {
        if self.active {
            return Ok(());
        }
        if !self.gic_ready {
            return Err(RealmError::Invalid);
        }
        self.check_vcpus_ready()?;
        let rd = self.build(host)?;
        for slot in &mut self.slots {
            let bases = (slot.base..slot.end).step_by(usize::try_from(BLOCK_SIZE).unwrap_or(1));
            for (region, base) in slot.regions.iter_mut().zip(bases) {
                host.rest();
                if host.interrupted() {
                    return Err(RealmError::Interrupted);
                }
                region.complete(host, rd, base)?;
            }
        }
        self.create_recs(host, rd)?;
        rmi::realm_activate(host, rd)?;
        self.active = true;
        Ok(())
    }
}
