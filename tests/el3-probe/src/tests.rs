//! The tests, by what of the interface they are about.

mod boot;
mod granules;
mod key;
mod manifest;
mod preserved;
mod reserve;
mod services;
mod token;

use crate::memory::ManifestPage;
use crate::report::{self, Outcome};
use crate::start::BootRegisters;

/// Runs all tests.
pub(crate) fn run(registers: &BootRegisters, page: &ManifestPage) -> ! {
    let place = granules::Places::new(page);
    let tests: &[(&str, &dyn Fn() -> Outcome)] = &[
        ("boot/registers", &|| boot::registers(registers)),
        ("boot/processor-state", &boot::processor_state),
        ("manifest/version", &|| manifest::version(page)),
        ("manifest/memory", &|| manifest::memory(page)),
        ("manifest/console", &|| manifest::console(page)),
        ("manifest/absent-lists", &|| manifest::absent_lists(page)),
        ("granule/there-and-back", &|| {
            granules::there_and_back(&place)
        }),
        ("granule/neighbours", &|| granules::neighbours(&place)),
        ("granule/twice", &|| granules::twice(&place)),
        ("granule/unaligned", &|| granules::unaligned(&place)),
        ("granule/out-of-range", &|| granules::out_of_range(&place)),
        ("granule/devices", &|| granules::devices(&place)),
        ("granule/other-worlds", &|| granules::other_worlds(&place)),
        ("granule/own-memory", &|| granules::own_memory(&place)),
        ("granule/first-and-last", &|| {
            granules::first_and_last(&place)
        }),
        ("key/success", &|| key::success(page)),
        ("key/outside-the-shared-page", &|| key::outside(page)),
        ("key/invalid", &|| key::invalid(page)),
        ("token/success", &|| token::success(page)),
        ("token/in-pieces", &|| token::in_pieces(page)),
        ("token/order", &|| token::order(page)),
        ("token/outside-the-shared-page", &|| token::outside(page)),
        ("token/invalid", &|| token::invalid(page)),
        ("features/index", &services::features),
        ("services/not-there", &|| services::not_there(page)),
        ("services/unknown", &services::unknown),
        ("services/power", &services::power),
        (
            "services/complete-before-boot",
            &services::complete_before_boot,
        ),
        ("reserve/invalid", &reserve::invalid),
        ("reserve/distinct-and-usable", &reserve::distinct_and_usable),
        ("reserve/until-exhausted", &reserve::until_exhausted),
        ("preserved/general-registers", &|| {
            preserved::general_registers(&place)
        }),
        ("preserved/system-registers", &|| {
            preserved::system_registers(&place)
        }),
    ];
    report::run(tests)
}
