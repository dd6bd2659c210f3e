//! What a guest owner predicts of a Realm, and what the RMM measures of it.

use attestation_token::rim::{self, Content, RealmParameters};
use attestation_token::{HashAlgorithm as TokenHash, HashValue};
use realm_payload::ImageHeader;
use rmm_abi::rmi::{DATA_MEASURE, HashAlgorithm};
use rmm_abi::rsi::{ReturnCode, fid};

use super::canary::offered;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{
    GIGABYTE, IMAGE, Options, PAGE_LEVEL, RAM_END, RunningRealm, SPARE, Shape, TWO_MEGABYTES,
};
use crate::suite::Host;

const PAGE: u64 = rim::GRANULE_BYTES as u64;

/// A Realm with the payload, and what else is put into it after its RECs.
#[derive(Clone, Copy)]
struct Layout {
    options: Options,
    /// Pages that are not measured, then pages that are, in the RAM that the payload leaves alone.
    pages: [u64; 2],
    /// A gigabyte of RAM that one table entry covers.
    far_ram: Option<u64>,
}

impl Layout {
    const fn of(options: Options) -> Self {
        Self {
            options,
            pages: [0; 2],
            far_ram: None,
        }
    }
}

pub(crate) fn predicted_with_sha_256(host: &Host) -> Outcome {
    predicted(host, HashAlgorithm::Sha256)
}

pub(crate) fn predicted_with_sha_512(host: &Host) -> Outcome {
    predicted(host, HashAlgorithm::Sha512)
}

fn predicted(host: &Host, hash: HashAlgorithm) -> Outcome {
    let (sve, pmu, breakpoints, watchpoints) = offered()?;
    let layouts = [
        Layout::of(Options::PLAIN),
        Layout::of(Options {
            shape: Shape::DEEP,
            ..Options::with_recs(3)
        }),
        Layout::of(Options {
            sve,
            pmu,
            breakpoints,
            watchpoints,
            rpv: [0x5a; 64],
            shape: Shape::new(39, 1, 1),
            ..Options::PLAIN
        }),
        Layout {
            pages: [2, 3],
            far_ram: Some(2 * GIGABYTE),
            ..Layout::of(Options::PLAIN)
        },
    ];
    for (number, layout) in layouts.into_iter().enumerate() {
        let options = Options {
            hash,
            ..layout.options
        };
        let layout = Layout { options, ..layout };
        let Ok(expected) = predict(host, &layout) else {
            return fail!("no prediction for layout {number}");
        };
        let seen = measured(host, &layout)?;
        let length = expected.as_bytes().len();
        ensure!(
            seen[..length] == *expected.as_bytes() && seen[length..].iter().all(|byte| *byte == 0),
            "layout {number}: predicted {expected}, the RMM has {:02x?}",
            &seen[..length]
        );
    }
    Ok(())
}

/// What the library says, from what the host is going to do.
fn predict(host: &Host, layout: &Layout) -> Result<HashValue, rim::RimError> {
    let options = &layout.options;
    let mut realm = rim::Realm::new(&RealmParameters {
        lpa2: options.shape.lpa2,
        sve_vl: options.sve,
        pmu_counters: options.pmu,
        ipa_width: options.shape.width,
        breakpoints: options.breakpoints,
        watchpoints: options.watchpoints,
        hash_algorithm: match options.hash {
            HashAlgorithm::Sha256 => TokenHash::Sha256,
            HashAlgorithm::Sha512 => TokenHash::Sha512,
        },
    })?;
    let image = host.machine.initrd().unwrap_or_default();
    let memory = ImageHeader::of(image).map_or(0, |header| header.memory_size);
    realm.init_ripas(IMAGE, IMAGE + memory.next_multiple_of(PAGE), 3)?;
    realm.init_ripas(SPARE, RAM_END, 2)?;
    for (ipa, bytes) in (IMAGE..)
        .step_by(rim::GRANULE_BYTES)
        .zip(image.chunks(rim::GRANULE_BYTES))
    {
        let mut page = [0; rim::GRANULE_BYTES];
        page[..bytes.len()].copy_from_slice(bytes);
        realm.data(ipa, Content::Measured(&page))?;
    }
    // Of the RECs only the first may run at once; its X0 is its number, zero.
    realm.rec(&rim::Rec {
        pc: IMAGE,
        ..rim::Rec::default()
    });
    for (ipa, measured) in extra_pages(layout) {
        let content = content(ipa);
        realm.data(
            ipa,
            if measured {
                Content::Measured(&content)
            } else {
                Content::Unmeasured
            },
        )?;
    }
    if let Some(base) = layout.far_ram {
        realm.init_ripas(base, base + GIGABYTE, 1)?;
    }
    Ok(realm.initial_measurement())
}

/// Where further pages go, and whether they are measured.
fn extra_pages(layout: &Layout) -> impl Iterator<Item = (u64, bool)> {
    let [unmeasured, measured] = layout.pages;
    let count = unmeasured + measured;
    (0..count).map(move |index| (SPARE + index * PAGE, index >= unmeasured))
}

/// What a further page has in it.
fn content(ipa: u64) -> [u8; rim::GRANULE_BYTES] {
    let [_, low, ..] = (ipa >> 4).to_le_bytes();
    core::array::from_fn(|offset| offset.to_le_bytes()[0] ^ low)
}

/// What the RMM says, inside a Realm that is made so.
fn measured(host: &Host, layout: &Layout) -> Outcome<[u8; 64]> {
    let mut running = RunningRealm::inactive(host, layout.options)?;
    let realm = &running.realm;
    for (ipa, measured) in extra_pages(layout) {
        realm.tables(ipa, PAGE_LEVEL)?;
        crate::realm::write_page(realm.page, &content(ipa))?;
        realm.data(ipa, if measured { DATA_MEASURE } else { 0 })?;
    }
    if let Some(base) = layout.far_ram {
        realm.init_ripas(base, base + GIGABYTE)?;
    }
    realm.activate()?;
    let vcpu = running.first();
    vcpu.greet()?;
    let results = vcpu.call(&[fid::MEASUREMENT_READ, 0], 8)?;
    ensure_word!(
        results[0],
        ReturnCode::Success.word(),
        "RSI_MEASUREMENT_READ"
    );
    let mut value = [0; 64];
    for (bytes, word) in value.as_chunks_mut().0.iter_mut().zip(&results[1..9]) {
        *bytes = word.to_le_bytes();
    }
    running.tear_down()?;
    Ok(value)
}

const _: () = assert!(RAM_END == SPARE + TWO_MEGABYTES);
