//! Parameters of a Realm, apart from the shape of its IPA space.

use rmm_abi::rmi::{RealmParams, fid, realm_flags};
use zerocopy::IntoBytes;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{PAGE_LEVEL, Realm, Shape, give_back, nth, write_page};
use crate::rmi::{self, ERROR_INPUT, SUCCESS, commands, must_delegate};
use crate::suite::{Host, expect};

/// Feature register 0, field by field.
struct Offer(u64);

impl Offer {
    fn read() -> Outcome<Self> {
        let [x0, value, ..] = rmi::command(fid::FEATURES, &[0])?;
        ensure_word!(x0, SUCCESS, "FEATURES");
        Ok(Self(value))
    }

    /// At most eight bits of it.
    fn field(&self, shift: u32, width: u32) -> u8 {
        let [field, ..] = (self.0 >> shift & ((1 << width) - 1)).to_le_bytes();
        field
    }
}

type Change = fn(&mut RealmParams, u8);

/// Field by field: what the RMM offers is accepted, anything more is refused.
pub(crate) fn parameters_beyond_the_offer(host: &Host) -> Outcome {
    let offer = Offer::read()?;
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    let (sve, pmu) = (offer.field(9, 1) == 1, offer.field(26, 1) == 1);
    let fields: [(&str, Change, Option<u8>); 6] = [
        ("s2sz", |params, value| params.s2sz = value, Some(40)),
        (
            "sve_vl",
            |params, value| {
                params.flags |= realm_flags::SVE;
                params.sve_vl = value;
            },
            sve.then_some(offer.field(10, 4)),
        ),
        (
            "num_bps",
            |params, value| params.num_bps = value,
            Some(offer.field(14, 6)),
        ),
        (
            "num_wps",
            |params, value| params.num_wps = value,
            Some(offer.field(20, 6)),
        ),
        (
            "pmu_num_ctrs",
            |params, value| {
                params.flags |= realm_flags::PMU;
                params.pmu_num_ctrs = value;
            },
            pmu.then_some(offer.field(27, 5)),
        ),
        (
            "hash_algo",
            |params, value| params.hash_algo = value,
            match (offer.field(32, 1), offer.field(33, 1)) {
                (1, 1) => Some(1),
                (1, _) => Some(0),
                _ => None,
            },
        ),
    ];
    for (name, change, most) in fields {
        let attempt = |value: u8| {
            let mut params = realm.params();
            change(&mut params, value);
            write_page(realm.page, &params)?;
            commands::realm_create(realm.rd, realm.page)
        };
        if let Some(most) = most {
            attempt(most)?.done(format_args!("REALM_CREATE with {name} {most}"))?;
            commands::realm_destroy(realm.rd)?.done("REALM_DESTROY")?;
        }
        let beyond = most.map_or(0, |most| most + 1);
        for value in [beyond, 0x7f, 0x80, 0xff] {
            attempt(value)?.refused(
                ERROR_INPUT,
                format_args!("REALM_CREATE with {name} {value}"),
            )?;
        }
        if matches!(name, "num_bps" | "num_wps") {
            attempt(0)?.refused(ERROR_INPUT, format_args!("REALM_CREATE with {name} 0"))?;
        }
    }
    realm.give_back()
}

pub(crate) fn contradicting_tables(host: &Host) -> Outcome {
    let shape = Shape::new(34, 2, 16);
    // Twice as many granules, so that every base below has tables behind it.
    let count = 32;
    let first = host.aligned_granules(count, 16 * GRANULE)?;
    for index in 0..count {
        must_delegate(nth(first, index))?;
    }
    let realm = Realm::without_descriptor(host, shape)?;
    for offset in (1..16).map(|index| index * GRANULE).chain([1, 8, 0x800]) {
        let mut params = realm.params();
        params.rtt_base = first + offset;
        write_page(realm.page, &params)?;
        commands::realm_create(realm.rd, realm.page)?.refused(
            ERROR_INPUT,
            format_args!("REALM_CREATE with tables at {offset:#x} behind their alignment"),
        )?;
    }
    // Where there are no granules, or none any more.
    let end = host.machine.dram().map(|range| range.end()).max();
    for base in [
        0,
        end.unwrap_or(1 << 40),
        1 << 47,
        1 << 48 | first,
        1 << 52 | first,
        1 << 63 | first,
        !0xffff,
        u64::MAX,
    ] {
        let mut params = realm.params();
        params.rtt_base = base;
        write_page(realm.page, &params)?;
        commands::realm_create(realm.rd, realm.page)?.refused(
            ERROR_INPUT,
            format_args!("REALM_CREATE with tables at {base:#x}"),
        )?;
    }
    for index in 0..count {
        give_back(nth(first, index))?;
    }
    write_page(realm.page, &realm.params())?;
    commands::realm_create(realm.rd, realm.page)?.done("REALM_CREATE")?;
    realm.tear_down()
}

/// Bytes of the parameters that mean something: offset and size.
const FIELDS: [(u64, u64); 12] = [
    (0x0, 8),
    (0x8, 1),
    (0x10, 1),
    (0x18, 1),
    (0x20, 1),
    (0x28, 1),
    (0x30, 1),
    (0x400, 64),
    (0x800, 2),
    (0x808, 8),
    (0x810, 8),
    (0x818, 4),
];

pub(crate) fn reserved_bytes_do_not_matter(host: &Host) -> Outcome {
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    let mut params = realm.params();
    params.flags |= !(realm_flags::LPA2 | realm_flags::SVE | realm_flags::PMU);
    for (word, bytes) in (0u64..).zip(params.as_bytes().as_chunks::<8>().0) {
        let mut bytes = *bytes;
        for (offset, byte) in (8 * word..).zip(&mut bytes) {
            let means_something = FIELDS
                .iter()
                .any(|(start, size)| (*start..start + size).contains(&offset));
            if !means_something {
                *byte = 0xa5;
            }
        }
        expect::write(realm.page + 8 * word, u64::from_le_bytes(bytes))?;
    }
    commands::realm_create(realm.rd, realm.page)?
        .done("REALM_CREATE with all reserved bits of its parameters set")?;
    realm.tables(0, PAGE_LEVEL)?;
    realm.tear_down()
}
