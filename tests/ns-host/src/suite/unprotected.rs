//! `RMI_RTT_MAP_UNPROTECTED` and `RMI_RTT_UNMAP_UNPROTECTED`.

use crate::machine::CarveOut;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word, skip};
use crate::realm::{
    EntryState, GIGABYTE, HALF_TERABYTE, Kind, NO_ENTRY, PAGE_LEVEL, Realm, Shape, Specimens,
    TWO_MEGABYTES, entry_size,
};
use crate::rmi::{ERROR_INPUT, Reply, SUCCESS, commands, error_rtt};
use crate::suite::{Host, expect};

/// `MemAttr[2:0]` write-back, read and write.
const WRITE_BACK: u64 = 6 << 2 | 3 << 6;

/// Memory attributes that a host may ask for; 4 is reserved.
const MEMORY_ATTRIBUTES: [u64; 7] = [0, 1, 2, 3, 5, 6, 7];

const fn unmapped(level: i8) -> EntryState {
    EntryState { level, ..NO_ENTRY }
}

fn map(realm: &Realm, ipa: u64, level: i8, descriptor: u64) -> Outcome {
    commands::map_unprotected(realm.rd, ipa, level, descriptor)?
        .done(format_args!(
            "MAP_UNPROTECTED of {ipa:#x} level {level} to {descriptor:#x}"
        ))
        .map(|_| ())
}

fn unmap(realm: &Realm, ipa: u64, level: i8, top: u64) -> Outcome {
    let [seen, ..] = commands::unmap_unprotected(realm.rd, ipa, level)?
        .done(format_args!("UNMAP_UNPROTECTED of {ipa:#x} level {level}"))?;
    ensure_word!(
        seen,
        top,
        "top of UNMAP_UNPROTECTED of {ipa:#x} level {level}"
    );
    realm.expect(ipa, PAGE_LEVEL, unmapped(level))
}

/// Pages and blocks, with every attribute.
pub(crate) fn map_and_unmap(host: &Host) -> Outcome {
    for active in [false, true] {
        let realm = Realm::new(host, Shape::DEEP)?;
        let half = realm.shape.half();
        if active {
            realm.activate()?;
        }
        for level in 1..=PAGE_LEVEL {
            realm.tables(half, level)?;
            let size = entry_size(level);
            let end = half + entry_size(level - 1);
            let last = end - size;
            for attributes in MEMORY_ATTRIBUTES {
                for permissions in 0..4 {
                    let descriptor = (3 * size) | attributes << 2 | permissions << 6;
                    map(&realm, last, level, descriptor)?;
                    for asked in level..=PAGE_LEVEL {
                        realm.expect(last, asked, EntryState::mapped(level, descriptor))?;
                    }
                    commands::map_unprotected(realm.rd, last, level, descriptor)?
                        .refused(error_rtt(level), "second MAP_UNPROTECTED")?;
                    unmap(&realm, last, level, end)?;
                    commands::unmap_unprotected(realm.rd, last, level)?.refused_with(
                        error_rtt(level),
                        [end, 0, 0, 0],
                        "second UNMAP_UNPROTECTED",
                    )?;
                }
            }
            realm.expect(half, PAGE_LEVEL, unmapped(level))?;
        }
        realm.tear_down()?;
    }
    Ok(())
}

/// The RMM does not look at what is behind an output address, and maps what is asked for.
pub(crate) fn any_output_address(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let ipa = realm.shape.half() + 5 * GRANULE;
    let granules = specimens.granules().iter().map(|(_, granule)| *granule);
    let mut addresses = granules.collect::<arrayvec::ArrayVec<u64, 64>>();
    for carve_out in CarveOut::ALL {
        addresses.push(expect::carve_out(host, carve_out)?.start() & !(GRANULE - 1));
    }
    addresses.extend([0, 1 << 40, 0xffff_ffff_f000]);
    for address in addresses {
        map(realm, ipa, PAGE_LEVEL, address | WRITE_BACK)?;
        realm.expect(
            ipa,
            PAGE_LEVEL,
            EntryState::mapped(PAGE_LEVEL, address | WRITE_BACK),
        )?;
        specimens.are_unchanged("MAP_UNPROTECTED")?;
        let [top, ..] =
            commands::unmap_unprotected(realm.rd, ipa, PAGE_LEVEL)?.done("UNMAP_UNPROTECTED")?;
        ensure_word!(top, realm.shape.half() + TWO_MEGABYTES, "top");
    }
    // One granule at many addresses, which host memory may have.
    for index in 1..511 {
        let page = realm.shape.half() + index * GRANULE;
        map(realm, page, PAGE_LEVEL, specimens.undelegated | WRITE_BACK)?;
    }
    for index in 1..511 {
        let page = realm.shape.half() + index * GRANULE;
        let next = if index == 510 {
            realm.shape.half() + TWO_MEGABYTES
        } else {
            page + GRANULE
        };
        unmap(realm, page, PAGE_LEVEL, next)?;
    }
    specimens.tear_down()
}

/// Output addresses above 48 bits.
pub(crate) fn wide_output_address(host: &Host) -> Outcome {
    let shape = Shape {
        lpa2: true,
        ..Shape::new(48, 0, 1)
    };
    let [x0, features, ..] = crate::rmi::command(rmm_abi::rmi::fid::FEATURES, &[0])?;
    ensure_word!(x0, SUCCESS, "FEATURES");
    if features >> 8 & 1 == 0 {
        return skip!("this CPU has no 52-bit addresses");
    }
    let realm = Realm::new(host, shape)?;
    let half = shape.half();
    for level in 1..=PAGE_LEVEL {
        realm.tables(half, level)?;
        let last = half + entry_size(level - 1) - entry_size(level);
        // Bits 49:48 of an address are in place, bits 51:50 are in 9:8 of the descriptor.
        for high in [1 << 48, 1 << 49, 1 << 8, 1 << 9, 3 << 48 | 3 << 8] {
            let descriptor = high | WRITE_BACK | (7 * entry_size(level));
            map(&realm, last, level, descriptor)?;
            realm.expect(last, PAGE_LEVEL, EntryState::mapped(level, descriptor))?;
            if level < PAGE_LEVEL {
                let table = realm.table(last, level + 1)?;
                let size = entry_size(level + 1);
                for index in [0, 1, 511] {
                    let part = EntryState::mapped(level + 1, descriptor + index * size);
                    realm.expect(last + index * size, PAGE_LEVEL, part)?;
                }
                realm.fold(last, level + 1, table)?;
            }
            unmap(&realm, last, level, last + entry_size(level))?;
        }
        for bad in [1 << 50, 1 << 51, 1 << 52] {
            commands::map_unprotected(realm.rd, last, level, bad | WRITE_BACK)?
                .refused(ERROR_INPUT, format_args!("MAP_UNPROTECTED to {bad:#x}"))?;
        }
    }
    realm.tear_down()
}

/// Bits of a descriptor that the host has no say in.
pub(crate) fn descriptors_refused(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    let half = realm.shape.half();
    for level in 1..=PAGE_LEVEL {
        realm.tables(half, level)?;
        let last = half + entry_size(level - 1) - entry_size(level);
        let address_starts = entry_size(level).trailing_zeros();
        for bit in 0..64 {
            let reply = commands::map_unprotected(realm.rd, last, level, 1 << bit)?;
            let may = matches!(bit, 2 | 3 | 6 | 7) || (address_starts..48).contains(&bit);
            let what = format_args!("MAP_UNPROTECTED at level {level} with bit {bit}");
            if may {
                reply.done(what)?;
                unmap(&realm, last, level, last + entry_size(level))?;
            } else {
                reply.refused(ERROR_INPUT, what)?;
                realm.expect(last, PAGE_LEVEL, unmapped(level))?;
            }
        }
        // Bits 4:2 together are a reserved memory attribute only as 0b100.
        for attributes in 0..8 {
            let reply = commands::map_unprotected(realm.rd, last, level, attributes << 2)?;
            if attributes == 4 {
                reply.refused(ERROR_INPUT, "MAP_UNPROTECTED with the reserved attribute")?;
            } else {
                reply.done(format_args!("MAP_UNPROTECTED with attributes {attributes}"))?;
                unmap(&realm, last, level, last + entry_size(level))?;
            }
        }
    }
    realm.tear_down()
}

/// A command on an entry: its address, its level.
type OnEntry<'a> = &'a dyn Fn(u64, u64) -> Outcome<Reply>;

/// What both commands refuse before they look at the tables.
fn bad_levels_and_addresses(realm: &Realm, what: &str, command: OnEntry) -> Outcome {
    let half = realm.shape.half();
    let refused = |ipa, level: u64| {
        command(ipa, level)?.refused(
            ERROR_INPUT,
            format_args!("{what} of {ipa:#x} level {level:#x}"),
        )
    };
    // Levels that have no memory. Where nothing is, so that a walk ends early.
    let levels = [
        -2,
        -1,
        0,
        4,
        5,
        0x7f,
        0x80,
        0x103,
        1 << 32 | 3,
        i64::MAX,
        i64::MIN,
    ];
    for level in levels.map(i64::cast_unsigned) {
        for ipa in [half, half + HALF_TERABYTE, 0] {
            refused(ipa, level)?;
        }
    }
    for level in 1..=PAGE_LEVEL {
        let (size, word) = (entry_size(level), commands::level_word(level));
        for base in [half, half + HALF_TERABYTE] {
            for offset in [1, 8, size / 2, size - 1] {
                refused(base + offset, word)?;
            }
        }
        // Protected: with memory, without, without a table. Behind the space.
        for ipa in [
            0,
            size,
            GIGABYTE,
            HALF_TERABYTE,
            half - size,
            realm.shape.end(),
            realm.shape.end() + size,
            1 << 63,
            0u64.wrapping_sub(size),
        ] {
            refused(ipa, word)?;
        }
    }
    Ok(())
}

pub(crate) fn map_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let half = realm.shape.half();
    let descriptor = specimens.undelegated | WRITE_BACK;
    specimens.only(Kind::Rd, "MAP_UNPROTECTED", |rd| {
        commands::map_unprotected(rd, half + GRANULE, PAGE_LEVEL, descriptor)
    })?;
    bad_levels_and_addresses(realm, "MAP_UNPROTECTED", &|ipa, level| {
        commands::map_unprotected_at(realm.rd, ipa, level, 0)
    })?;
    // An output address that the entry cannot hold.
    for (level, address) in [
        (1, TWO_MEGABYTES),
        (1, GRANULE),
        (2, GRANULE),
        (2, GIGABYTE + GRANULE),
        (3, 0x800),
    ] {
        commands::map_unprotected(realm.rd, half + GIGABYTE, level, address)?
            .refused(ERROR_INPUT, format_args!("MAP_UNPROTECTED to {address:#x}"))?;
    }
    for (ipa, level, at) in [
        (half + TWO_MEGABYTES, 3, 2),
        (half + GIGABYTE, 3, 1),
        (half + GIGABYTE, 2, 1),
        (half + HALF_TERABYTE, 3, 0),
        (half + HALF_TERABYTE, 1, 0),
        // Mapped already; a table.
        (half, 3, 3),
        (half, 2, 2),
        (half, 1, 1),
    ] {
        commands::map_unprotected(realm.rd, ipa, level, 0)?.refused(
            error_rtt(at),
            format_args!("MAP_UNPROTECTED of {ipa:#x} level {level}"),
        )?;
    }
    specimens.are_unchanged("MAP_UNPROTECTED")?;
    specimens.tear_down()
}

pub(crate) fn unmap_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let half = realm.shape.half();
    specimens.only(Kind::Rd, "UNMAP_UNPROTECTED", |rd| {
        commands::unmap_unprotected(rd, half, PAGE_LEVEL)
    })?;
    bad_levels_and_addresses(realm, "UNMAP_UNPROTECTED", &|ipa, level| {
        commands::unmap_unprotected_at(realm.rd, ipa, level)
    })?;
    for (ipa, level, at, top) in [
        // The walk ends early; up to the end of that table there is nothing.
        (half + TWO_MEGABYTES, 3, 2, half + GIGABYTE),
        (half + GIGABYTE, 3, 1, half + HALF_TERABYTE),
        (half + GIGABYTE, 2, 1, half + HALF_TERABYTE),
        (half + HALF_TERABYTE, 3, 0, 1 << 48),
        (half + HALF_TERABYTE, 1, 0, 1 << 48),
        // Not mapped; a table.
        (half + GRANULE, 3, 3, half + TWO_MEGABYTES),
        (half, 2, 2, half),
        (half, 1, 1, half),
    ] {
        commands::unmap_unprotected(realm.rd, ipa, level)?.refused_with(
            error_rtt(at),
            [top, 0, 0, 0],
            format_args!("UNMAP_UNPROTECTED of {ipa:#x} level {level}"),
        )?;
    }
    specimens.are_unchanged("UNMAP_UNPROTECTED")?;
    // A block is not a page: its level counts.
    let block = half + TWO_MEGABYTES;
    map(realm, block, 2, WRITE_BACK)?;
    commands::unmap_unprotected(realm.rd, block, 3)?.refused_with(
        error_rtt(2),
        [block, 0, 0, 0],
        "UNMAP_UNPROTECTED of a page of a block",
    )?;
    commands::unmap_unprotected(realm.rd, block - TWO_MEGABYTES, 2)?.refused_with(
        error_rtt(2),
        [half, 0, 0, 0],
        "UNMAP_UNPROTECTED of a table",
    )?;
    unmap(realm, block, 2, half + GIGABYTE)?;
    // The next that is mapped is where to go on.
    let page = half + 9 * GRANULE;
    map(realm, page, PAGE_LEVEL, WRITE_BACK)?;
    commands::unmap_unprotected(realm.rd, half + GRANULE, PAGE_LEVEL)?.refused_with(
        error_rtt(3),
        [page, 0, 0, 0],
        "UNMAP_UNPROTECTED before a page",
    )?;
    unmap(realm, page, PAGE_LEVEL, half + TWO_MEGABYTES)?;
    specimens.tear_down()
}
