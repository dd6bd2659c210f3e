//! Pages on their way into the Realm world and back.

use crate::host::{Host, Severity};
use crate::pool::{CHUNK_ORDERS, MOST_GROUP_ORDER, Page, Pool, PoolError, Spare, Sweep};
use crate::rmi::{self, RmiError};

/// Why there is no granule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GranuleError {
    /// The kernel has no memory to give.
    OutOfMemory,
    /// The RMM does not take it.
    Refused(RmiError),
}

/// Chunks that are taken in the hope for one block: touching ones make blocks, others do not.
const TRIES_FOR_BLOCK: usize = 4;
/// Pages that may lie idle before memory is taken in the hope for a block: 16 MiB.
const IDLE_PAGES: u64 = 4096;
/// Times that something is tried that has no reason to fail.
pub(crate) const TRIES: usize = 3;

/// Adds a chunk to the pool, and takes something from there in one go, so that nobody else gets it.
fn grow<H: Host, R>(
    host: &H,
    take: impl FnOnce(&mut Pool) -> Option<R>,
) -> Result<Option<R>, GranuleError> {
    let chunk = CHUNK_ORDERS
        .iter()
        .find_map(|&order| Some((host.take_pages(order)?, order)));
    let Some((first, order)) = chunk else {
        return Err(GranuleError::OutOfMemory);
    };
    let added = host.with_shared(|shared| {
        shared.pool.add(first, order)?;
        Ok::<_, PoolError>(take(&mut shared.pool))
    });
    added.map_err(|_| {
        host.give_pages(first, order);
        GranuleError::OutOfMemory
    })
}

/// A block, not delegated. `None` when there is none to be had.
pub(crate) fn take_block(host: &impl Host) -> Option<Page> {
    let (block, idle) = host.with_shared(|shared| match shared.pool.take_block() {
        None => (None, shared.pool.available()),
        block => (block, 0),
    });
    if block.is_some() || idle >= IDLE_PAGES {
        return block;
    }
    for _ in 0..TRIES_FOR_BLOCK {
        if let Some(block) = grow(host, Pool::take_block).ok()? {
            return Some(block);
        }
    }
    None
}

/// 2^`order` pages, not delegated.
fn take_group(host: &impl Host, order: u32) -> Result<Page, GranuleError> {
    if order > MOST_GROUP_ORDER {
        return Err(GranuleError::OutOfMemory);
    }
    let group = host.with_shared(|shared| {
        let pool = &mut shared.pool;
        (pool.take_group(order, false)).or_else(|| pool.take_group(order, true))
    });
    match group {
        Some(group) => Ok(group),
        None => grow(host, |pool| pool.take_group(order, true))?.ok_or(GranuleError::OutOfMemory),
    }
}

/// Delegates a page that was handed out. On failure it stays handed out.
pub(crate) fn delegate(host: &impl Host, page: Page) -> Result<(), GranuleError> {
    host.rest();
    rmi::granule_delegate(host, page).map_err(GranuleError::Refused)
}

/// A delegated page.
pub(crate) fn take_delegated(host: &impl Host) -> Result<Page, GranuleError> {
    take_delegated_group(host, 0)
}

/// 2^`order` delegated pages, aligned to their size.
pub(crate) fn take_delegated_group(host: &impl Host, order: u32) -> Result<Page, GranuleError> {
    let first = take_group(host, order)?;
    let pages = 1_usize << order;
    for number in 0..pages {
        if let Err(error) = delegate(host, first.nth(number)) {
            (0..number).for_each(|number| give_back(host, first.nth(number)));
            (number..pages).for_each(|number| release(host, first.nth(number)));
            return Err(error);
        }
    }
    Ok(first)
}

/// A page that is not delegated is no longer needed.
pub(crate) fn release(host: &impl Host, page: Page) {
    if host
        .with_shared(|shared| shared.pool.release(page))
        .is_err()
    {
        let address = page.address();
        host.log(
            Severity::Error,
            format_args!("the RMM gave page {address:#x} back, which is not in use"),
        );
    }
}

/// A delegated page is no longer needed. If the RMM does not give it back it is lost.
pub(crate) fn give_back(host: &impl Host, page: Page) {
    host.rest();
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = rmi::granule_undelegate(host, page);
        if result.is_ok() {
            return release(host, page);
        }
    }
    lose(host, page, result.err());
}

/// A page that nobody gets any more.
pub(crate) fn lose(host: &impl Host, page: Page, why: Option<RmiError>) {
    let address = page.address();
    // One that is not handed out cannot be lost, and is as little use.
    let _ = host.with_shared(|shared| shared.pool.lose(page));
    host.log(
        Severity::Error,
        format_args!("page {address:#x} is lost to the Realm world: {why:?}"),
    );
}

/// Gives the kernel what is idle: chunks, and with [`Sweep::Parts`] then what blocks can spare.
pub fn sweep(host: &impl Host, most: Sweep) {
    sweep_once(host, Sweep::Whole);
    if most == Sweep::Parts {
        sweep_once(host, Sweep::Parts);
    }
}

fn sweep_once(host: &impl Host, sweep: Sweep) {
    let mut below = u64::MAX;
    loop {
        match host.with_shared(|shared| shared.pool.remove_spare(sweep, &mut below)) {
            Spare::Chunk(first, order) => host.give_pages(first, order),
            Spare::Pages(first, count) => host.give_single_pages(first, count),
            Spare::Split(first, order) => {
                host.split_pages(first, order);
                host.with_shared(|shared| shared.pool.split_done(first, order));
            }
            Spare::Later => {}
            Spare::None => return,
        }
        host.rest();
    }
}
