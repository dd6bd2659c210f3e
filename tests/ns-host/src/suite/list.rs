//! All tests.

use ns_host::arguments::Arguments;

use super::{
    Host, boot, canary, data, dispatch, evidence, exit, features, granule, hostile, isolation,
    parked, psci, realm, realm_cpu, realm_psci, realm_stress, rec, rec_enter, registers, ripas,
    rsi, rtt, run_races, statistics, stress, unprotected, version,
};
use crate::outcome::Outcome;

/// A test.
pub(super) struct Test {
    /// `family/what-is-shown`.
    pub(super) name: &'static str,
    /// Seconds that it may take.
    pub(super) limit: fn(&Arguments) -> u64,
    /// CPUs that it needs.
    pub(super) cpus: usize,
    pub(super) run: fn(&Host) -> Outcome,
}

/// One line a test: name, time limit in seconds, CPUs needed, function.
macro_rules! tests {
    ($($name:literal, limit $limit:expr, cpus $cpus:literal, $run:path;)*) => {
        /// All of them, in the order in which they run.
        pub(super) const TESTS: &[Test] = &[$(Test {
            name: $name,
            limit: { const LIMIT: fn(&Arguments) -> u64 = $limit; LIMIT },
            cpus: $cpus,
            run: $run,
        },)*];
    };
}

/// A limit that does not depend on the command line.
macro_rules! seconds {
    ($seconds:literal) => {
        |_| $seconds
    };
}

/// For tests whose length the command line gives.
const fn by_calls(arguments: &Arguments) -> u64 {
    60 + arguments.calls / 1000
}

tests! {
    "version/negotiation", limit seconds!(10), cpus 1, version::negotiation;
    "version/every-cpu", limit seconds!(10), cpus 2, version::every_cpu;
    "features/register-0", limit seconds!(10), cpus 1, features::register_0;
    "features/other-registers", limit seconds!(10), cpus 1, features::other_registers;
    "features/every-cpu", limit seconds!(10), cpus 2, features::every_cpu;
    "granule/there-and-back", limit seconds!(10), cpus 1, granule::there_and_back;
    "granule/like-the-model", limit seconds!(30), cpus 1, granule::like_the_model;
    "granule/unaligned", limit seconds!(10), cpus 1, granule::unaligned;
    "granule/out-of-range", limit seconds!(10), cpus 1, granule::out_of_range;
    "granule/address-bits-above-the-range", limit seconds!(10), cpus 1, granule::high_bits;
    "granule/other-worlds", limit seconds!(10), cpus 1, granule::other_worlds;
    "granule/devices", limit seconds!(10), cpus 1, granule::devices;
    "granule/ends-of-memory", limit seconds!(10), cpus 1, granule::ends_of_memory;
    "granule/failure-changes-nothing", limit seconds!(10), cpus 1, granule::failure_changes_nothing;
    "granule/vector-hint", limit seconds!(10), cpus 1, granule::vector_hint;
    "granule/from-cpu-to-cpu", limit seconds!(10), cpus 2, granule::from_cpu_to_cpu;
    "boot/tracked-memory", limit seconds!(10), cpus 1, boot::tracked_memory;
    "statistics/described", limit seconds!(10), cpus 1, statistics::described;
    "statistics/boots", limit seconds!(10), cpus 1, statistics::boots;
    "statistics/another-boot", limit seconds!(60), cpus 2, statistics::another_boot;
    "statistics/commands-on-every-cpu", limit seconds!(20), cpus 1, statistics::commands_on_every_cpu;
    "statistics/life-of-a-realm", limit seconds!(30), cpus 1, statistics::life_of_a_realm;
    "statistics/failures", limit seconds!(10), cpus 1, statistics::failures;
    "statistics/any-question", limit seconds!(30), cpus 1, statistics::any_question;
    "dispatch/unknown-commands", limit seconds!(20), cpus 1, dispatch::unknown_commands;
    "dispatch/services-for-the-rmm", limit seconds!(10), cpus 1, dispatch::services_for_the_rmm;
    "dispatch/realm-services", limit seconds!(10), cpus 1, dispatch::realm_services;
    "dispatch/32-bit-calls", limit seconds!(20), cpus 1, dispatch::calls_of_32_bits;
    "dispatch/malformed-identifiers", limit seconds!(10), cpus 1, dispatch::malformed_identifiers;
    "dispatch/upper-half-of-x0", limit seconds!(10), cpus 1, dispatch::upper_half;
    "isolation/delegated-granule", limit seconds!(10), cpus 1, isolation::delegated_granule;
    "isolation/every-cpu", limit seconds!(10), cpus 2, isolation::every_cpu;
    "isolation/dirty-granule-comes-back-zero", limit seconds!(10), cpus 1, isolation::dirty_granule;
    "isolation/granules-of-a-realm", limit seconds!(30), cpus 1, isolation::granules_of_a_realm;
    "isolation/carve-outs", limit seconds!(10), cpus 1, isolation::carve_outs;
    "isolation/granule-under-writes", limit seconds!(30), cpus 2, isolation::under_writes;
    "isolation/granule-under-reads", limit seconds!(30), cpus 2, isolation::under_reads;
    "realm/build-and-tear-down", limit seconds!(20), cpus 1, realm::build_and_tear_down;
    "realm/shapes", limit seconds!(30), cpus 1, realm::shapes;
    "realm/shapes-refused", limit seconds!(120), cpus 1, realm::shapes_refused;
    "realm/create-wants-its-granules", limit seconds!(30), cpus 1, realm::create_wants_its_granules;
    "realm/start-tables-in-their-states", limit seconds!(20), cpus 1, realm::start_tables_in_their_states;
    "realm/descriptor-among-the-tables", limit seconds!(20), cpus 1, realm::descriptor_among_the_tables;
    "realm/parameters-beyond-the-offer", limit seconds!(20), cpus 1, realm::parameters_beyond_the_offer;
    "realm/contradicting-tables", limit seconds!(20), cpus 1, realm::contradicting_tables;
    "realm/reserved-bytes-do-not-matter", limit seconds!(20), cpus 1, realm::reserved_bytes_do_not_matter;
    "realm/activate", limit seconds!(20), cpus 1, realm::activate;
    "realm/what-ends-with-activation", limit seconds!(20), cpus 1, realm::what_ends_with_activation;
    "realm/destroy", limit seconds!(20), cpus 1, realm::destroy;
    "realm/what-keeps-it-alive", limit seconds!(30), cpus 1, realm::what_keeps_it_alive;
    "realm/vmids", limit seconds!(20), cpus 1, realm::vmids;
    "realm/many-at-once", limit seconds!(60), cpus 1, realm::many_at_once;
    "realm/again-and-again", limit seconds!(30), cpus 1, realm::again_and_again;
    "rec/aux-count", limit seconds!(20), cpus 1, rec::aux_count;
    "rec/create-and-destroy", limit seconds!(20), cpus 1, rec::create_and_destroy;
    "rec/create-wants-its-granules", limit seconds!(60), cpus 1, rec::create_wants_its_granules;
    "rec/auxiliary-granules", limit seconds!(20), cpus 1, rec::auxiliary_granules;
    "rec/in-order", limit seconds!(20), cpus 1, rec::in_order;
    "rec/bits-of-the-mpidr", limit seconds!(20), cpus 1, rec::bits_of_the_mpidr;
    "rec/as-many-as-offered", limit seconds!(180), cpus 1, rec::as_many_as_offered;
    "rec/destroy-wants-a-rec", limit seconds!(20), cpus 1, rec::destroy_wants_a_rec;
    "rec/of-two-realms", limit seconds!(20), cpus 1, rec::of_two_realms;
    "rec-enter/wants-its-granules", limit seconds!(60), cpus 1, rec_enter::wants_its_granules;
    "rec-enter/realm-is-new", limit seconds!(20), cpus 1, rec_enter::realm_is_new;
    "rec-enter/not-runnable", limit seconds!(20), cpus 1, rec_enter::not_runnable;
    "rec-enter/psci-request-is-pending", limit seconds!(20), cpus 1, rec_enter::psci_request_is_pending;
    "rec-enter/realm-is-off", limit seconds!(20), cpus 1, rec_enter::realm_is_off;
    "rec-enter/unasked-emulation", limit seconds!(20), cpus 1, rec_enter::unasked_emulation;
    "rec-enter/running-elsewhere", limit seconds!(40), cpus 2, rec_enter::running_elsewhere;
    "rec-enter/by-turns", limit seconds!(20), cpus 1, rec_enter::by_turns;
    "rec-enter/never-entered", limit seconds!(20), cpus 1, rec_enter::never_entered;
    "rec-enter/reserved-bits", limit seconds!(20), cpus 1, rec_enter::reserved_bits;
    "rec-enter/run-page-delegated-under-the-call", limit seconds!(30), cpus 2, rec_enter::delegated_under_the_call;
    "rec-enter/run-page-changes-under-the-call", limit seconds!(30), cpus 2, rec_enter::changes_under_the_call;
    "rec-enter/gic-control", limit seconds!(20), cpus 1, rec_enter::control_bits;
    "rec-enter/list-registers", limit seconds!(30), cpus 1, rec_enter::valid_list_registers;
    "rec-enter/list-registers-refused", limit seconds!(30), cpus 1, rec_enter::invalid_list_registers;
    "exit/wfi", limit seconds!(20), cpus 1, exit::wfi;
    "exit/wfi-not-trapped", limit seconds!(20), cpus 1, exit::untrapped;
    "exit/wfe", limit seconds!(20), cpus 1, exit::wfe;
    "exit/wait-with-timeout", limit seconds!(20), cpus 1, exit::with_timeout;
    "exit/data-abort-read", limit seconds!(30), cpus 1, exit::reads;
    "exit/data-abort-write", limit seconds!(30), cpus 1, exit::writes;
    "exit/data-abort-refused-by-the-host", limit seconds!(20), cpus 1, exit::refused_by_the_host;
    "exit/data-abort-without-syndrome", limit seconds!(20), cpus 1, exit::without_syndrome;
    "exit/ram-without-memory", limit seconds!(20), cpus 1, exit::not_mapped;
    "exit/destroyed-memory", limit seconds!(20), cpus 1, exit::destroyed;
    "exit/no-ram", limit seconds!(20), cpus 1, exit::empty;
    "exit/above-the-space", limit seconds!(20), cpus 1, exit::above_the_space;
    "exit/tables-of-the-realm", limit seconds!(20), cpus 1, exit::tables_of_the_realm;
    "exit/fetch", limit seconds!(20), cpus 1, exit::fetches;
    "exit/shared-memory", limit seconds!(20), cpus 1, exit::mapped;
    "exit/shared-memory-read-only", limit seconds!(20), cpus 1, exit::read_only;
    "exit/shared-memory-taken-away", limit seconds!(20), cpus 1, exit::taken_away;
    "exit/host-timer", limit seconds!(30), cpus 1, exit::host_timer;
    "exit/masked-by-priority", limit seconds!(20), cpus 1, exit::masked_by_priority;
    "exit/sgi-registers", limit seconds!(20), cpus 1, exit::sgi_registers;
    "exit/timers-are-told", limit seconds!(20), cpus 1, exit::timers_are_told;
    "exit/virtual-timer", limit seconds!(30), cpus 1, exit::virtual_timer;
    "exit/physical-timer", limit seconds!(30), cpus 1, exit::physical_timer;
    "exit/pmu-overflow", limit seconds!(20), cpus 1, exit::overflow;
    "exit/virtual-interrupts", limit seconds!(20), cpus 1, exit::delivered;
    "exit/virtual-priorities", limit seconds!(20), cpus 1, exit::priorities;
    "exit/end-without-list-register", limit seconds!(20), cpus 1, exit::end_without_list_register;
    "exit/maintenance", limit seconds!(20), cpus 1, exit::maintenance;
    "rsi/version", limit seconds!(20), cpus 1, rsi::version;
    "rsi/features", limit seconds!(20), cpus 1, rsi::features;
    "rsi/identifiers", limit seconds!(20), cpus 1, rsi::identifiers;
    "rsi/unknown-calls", limit seconds!(20), cpus 1, rsi::unknown;
    "evidence/predicted-with-sha-256", limit seconds!(60), cpus 1, evidence::predicted_with_sha_256;
    "evidence/predicted-with-sha-512", limit seconds!(60), cpus 1, evidence::predicted_with_sha_512;
    "rsi/initial-measurement", limit seconds!(60), cpus 1, rsi::initial_measurement;
    "rsi/extend-with-sha-256", limit seconds!(20), cpus 1, rsi::extend_with_sha_256;
    "rsi/extend-with-sha-512", limit seconds!(20), cpus 1, rsi::extend_with_sha_512;
    "rsi/extend-refused", limit seconds!(20), cpus 1, rsi::extend_refused;
    "rsi/extend-at-once", limit seconds!(30), cpus 2, rsi::extend_at_once;
    "rsi/realm-config", limit seconds!(40), cpus 1, rsi::realm_config;
    "rsi/realm-config-refused", limit seconds!(20), cpus 1, rsi::realm_config_refused;
    "rsi/realm-config-without-memory", limit seconds!(20), cpus 1, rsi::realm_config_without_memory;
    "rsi/ipa-state-get", limit seconds!(20), cpus 1, rsi::get;
    "rsi/ipa-state-get-refused", limit seconds!(20), cpus 1, rsi::get_refused;
    "rsi/ipa-state-set-accepted", limit seconds!(20), cpus 1, rsi::accepted;
    "rsi/ipa-state-set-in-parts", limit seconds!(20), cpus 1, rsi::partial;
    "rsi/ipa-state-set-rejected", limit seconds!(20), cpus 1, rsi::rejected;
    "rsi/ipa-state-set-destroyed", limit seconds!(20), cpus 1, rsi::destroyed;
    "rsi/ipa-state-set-refused", limit seconds!(20), cpus 1, rsi::refused_requests;
    "rsi/ipa-state-set-and-the-host", limit seconds!(20), cpus 1, rsi::request_bounds;
    "rsi/host-call", limit seconds!(20), cpus 1, rsi::host_call;
    "rsi/host-call-refused", limit seconds!(20), cpus 1, rsi::host_call_refused;
    "rsi/host-call-without-memory", limit seconds!(20), cpus 1, rsi::host_call_without_memory;
    "rsi/host-call-loses-its-memory", limit seconds!(20), cpus 1, rsi::host_call_takes_its_buffer;
    "rsi/attestation-token", limit seconds!(20), cpus 1, rsi::attestation_token;
    "rsi/token-content", limit seconds!(40), cpus 1, rsi::token_content;
    "rsi/token-in-parts", limit seconds!(20), cpus 1, rsi::token_in_parts;
    "rsi/token-without-memory", limit seconds!(20), cpus 1, rsi::token_without_memory;
    "rsi/token-interrupted", limit seconds!(40), cpus 1, rsi::interrupted_token;
    "rsi/token-begun-again", limit seconds!(20), cpus 1, rsi::restarted_token;
    "rsi/token-abandoned", limit seconds!(20), cpus 1, rsi::abandoned_token;
    "rsi/token-destroyed-with-its-rec", limit seconds!(20), cpus 1, rsi::destroyed_with_its_rec;
    "realm-psci/version-and-features", limit seconds!(20), cpus 1, realm_psci::version_and_features;
    "realm-psci/not-supported", limit seconds!(20), cpus 1, realm_psci::not_supported;
    "realm-psci/cpu-suspend", limit seconds!(20), cpus 1, realm_psci::cpu_suspend;
    "realm-psci/refused-in-the-realm", limit seconds!(20), cpus 1, realm_psci::refused_in_the_realm;
    "realm-psci/cpu-off", limit seconds!(20), cpus 1, realm_psci::cpu_off;
    "realm-psci/mpidr", limit seconds!(20), cpus 1, realm_psci::mpidr;
    "realm-psci/cpu-on", limit seconds!(20), cpus 1, realm_psci::cpu_on;
    "realm-psci/cpu-on-denied", limit seconds!(20), cpus 1, realm_psci::cpu_on_denied;
    "realm-psci/affinity-info", limit seconds!(20), cpus 1, realm_psci::affinity_info;
    "realm-psci/complete-refused", limit seconds!(60), cpus 1, realm_psci::complete_refused;
    "realm-psci/requests-of-two-realms", limit seconds!(20), cpus 1, realm_psci::two_requests;
    "realm-psci/results-and-registers", limit seconds!(20), cpus 1, realm_psci::results_and_registers;
    "realm-psci/state-after-cpu-on", limit seconds!(20), cpus 1, realm_psci::state_after_cpu_on;
    "realm-cpu/hvc", limit seconds!(20), cpus 1, realm_cpu::hvc;
    "realm-cpu/hidden-registers", limit seconds!(20), cpus 1, realm_cpu::hidden_registers;
    "realm-cpu/counters-of-the-host", limit seconds!(20), cpus 1, realm_cpu::counters_of_the_host;
    "realm-cpu/ignored-registers", limit seconds!(20), cpus 1, realm_cpu::ignored_registers;
    "realm-cpu/hidden-features", limit seconds!(20), cpus 1, realm_cpu::hidden_features;
    "realm-cpu/reserved-registers", limit seconds!(20), cpus 1, realm_cpu::reserved_registers;
    "realm-cpu/debug-registers-shown", limit seconds!(30), cpus 1, realm_cpu::debug_registers_shown;
    "canary/realms-and-host", limit seconds!(90), cpus 1, canary::realms_and_host;
    "canary/host-registers", limit seconds!(60), cpus 1, canary::host_registers;
    "hostile/tables-that-lead-nowhere", limit seconds!(60), cpus 2, hostile::tables_that_lead_nowhere;
    "hostile/breakpoints-of-the-host", limit seconds!(20), cpus 1, hostile::breakpoints_of_the_host;
    "running/rec-destroy", limit seconds!(40), cpus 2, run_races::rec_destroy;
    "running/realm-destroy", limit seconds!(40), cpus 2, run_races::realm_destroy;
    "running/data-destroy", limit seconds!(40), cpus 2, run_races::data_destroy;
    "running/rtt-destroy", limit seconds!(40), cpus 2, run_races::rtt_destroy;
    "running/set-ripas", limit seconds!(40), cpus 2, run_races::set_ripas;
    "running/unmap-unprotected", limit seconds!(40), cpus 2, run_races::unmap_unprotected;
    "running/interrupt-from-another-cpu", limit seconds!(40), cpus 2, run_races::kicked;
    "running/psci-target", limit seconds!(40), cpus 2, run_races::target_that_runs;
    "running/system-off", limit seconds!(40), cpus 2, run_races::system_off;
    "running/from-cpu-to-cpu", limit seconds!(40), cpus 2, run_races::from_cpu_to_cpu;
    "running/token-from-cpu-to-cpu", limit seconds!(40), cpus 2, run_races::token_from_cpu_to_cpu;
    "running/tokens-at-once", limit seconds!(60), cpus 2, run_races::tokens_at_once;
    "running/fold-and-unfold", limit seconds!(40), cpus 2, run_races::fold_and_unfold;
    "running/shapes", limit seconds!(60), cpus 1, run_races::shapes;
    "running/vmid-again", limit seconds!(60), cpus 1, run_races::vmid_again;
    "running/eight-recs", limit seconds!(60), cpus 2, run_races::eight_recs;
    "running/host-that-never-comes-back", limit seconds!(40), cpus 1, run_races::host_that_never_comes_back;
    "data/create", limit seconds!(20), cpus 1, data::create;
    "data/create-unknown", limit seconds!(20), cpus 1, data::create_unknown;
    "data/create-refused", limit seconds!(30), cpus 1, data::create_refused;
    "data/create-unknown-refused", limit seconds!(30), cpus 1, data::create_unknown_refused;
    "data/create-order", limit seconds!(20), cpus 1, data::create_order;
    "data/destroy", limit seconds!(20), cpus 1, data::destroy;
    "data/destroy-refused", limit seconds!(20), cpus 1, data::destroy_refused;
    "data/destroy-of-a-block", limit seconds!(30), cpus 1, data::destroy_of_a_block;
    "data/one-granule-one-place", limit seconds!(20), cpus 1, data::one_granule_one_place;
    "rtt/create-and-destroy", limit seconds!(20), cpus 1, rtt::create_and_destroy;
    "rtt/create-refused", limit seconds!(30), cpus 1, rtt::create_refused;
    "rtt/destroy-refused", limit seconds!(30), cpus 1, rtt::destroy_refused;
    "rtt/destroy-top", limit seconds!(20), cpus 1, rtt::destroy_top;
    "rtt/destroy-of-mixed-tables", limit seconds!(20), cpus 1, rtt::destroy_of_mixed_tables;
    "rtt/fold-refused", limit seconds!(30), cpus 1, rtt::fold_refused;
    "rtt/fold-and-unfold", limit seconds!(90), cpus 1, rtt::fold_and_unfold;
    "rtt/fold-to-a-gigabyte", limit seconds!(60), cpus 1, rtt::fold_to_a_gigabyte;
    "rtt/fold-to-a-gigabyte-of-memory", limit seconds!(600), cpus 1, rtt::fold_to_a_gigabyte_of_memory;
    "rtt/not-homogeneous", limit seconds!(90), cpus 1, rtt::not_homogeneous;
    "rtt/read-entry", limit seconds!(20), cpus 1, rtt::read_entry;
    "rtt/read-refused", limit seconds!(30), cpus 1, rtt::read_refused;
    "rtt/one-table-one-place", limit seconds!(20), cpus 1, rtt::one_table_one_place;
    "ripas/init", limit seconds!(30), cpus 1, ripas::init;
    "ripas/init-in-parts", limit seconds!(30), cpus 1, ripas::init_in_parts;
    "ripas/init-and-memory", limit seconds!(30), cpus 1, ripas::init_and_memory;
    "ripas/init-refused", limit seconds!(30), cpus 1, ripas::init_refused;
    "ripas/set-refused", limit seconds!(30), cpus 1, ripas::set_refused;
    "unprotected/map-and-unmap", limit seconds!(30), cpus 1, unprotected::map_and_unmap;
    "unprotected/any-output-address", limit seconds!(30), cpus 1, unprotected::any_output_address;
    "unprotected/wide-output-address", limit seconds!(30), cpus 1, unprotected::wide_output_address;
    "unprotected/descriptors-refused", limit seconds!(30), cpus 1, unprotected::descriptors_refused;
    "unprotected/map-refused", limit seconds!(30), cpus 1, unprotected::map_refused;
    "unprotected/unmap-refused", limit seconds!(30), cpus 1, unprotected::unmap_refused;
    "registers/general-purpose", limit seconds!(10), cpus 1, registers::general_purpose;
    "registers/system", limit seconds!(10), cpus 1, registers::system;
    "registers/simd", limit seconds!(10), cpus 1, registers::simd;
    "registers/sve", limit seconds!(10), cpus 1, registers::sve;
    "registers/every-cpu", limit seconds!(20), cpus 2, registers::every_cpu;
    "psci/version", limit seconds!(10), cpus 1, psci::version;
    "psci/features", limit seconds!(10), cpus 1, psci::features;
    "psci/all-cpus-start", limit seconds!(10), cpus 1, psci::all_cpus_start;
    "psci/affinity-info", limit seconds!(10), cpus 1, psci::affinity_info;
    "psci/cpu-on-refused", limit seconds!(60), cpus 2, psci::cpu_on_refused;
    "psci/off-and-on-again", limit seconds!(60), cpus 2, psci::off_and_on_again;
    "stress/two-cpus", limit by_calls, cpus 2, stress::two_cpus;
    "stress/four-cpus", limit by_calls, cpus 4, stress::four_cpus;
    "stress/every-cpu-its-own-granule", limit seconds!(30), cpus 2, stress::own_granules;
    "stress/every-cpu-its-own-realms", limit seconds!(90), cpus 2, realm_stress::disjoint_realms;
    "stress/one-winner", limit seconds!(90), cpus 2, realm_stress::one_winner;
    "stress/one-realm-two-cpus", limit by_calls, cpus 2, realm_stress::two_cpus;
    "stress/one-realm-four-cpus", limit by_calls, cpus 4, realm_stress::four_cpus;
    "stress/crossed-granules", limit seconds!(60), cpus 2, realm_stress::crossed_granules;
    "stress/any-granule-anywhere", limit seconds!(60), cpus 2, realm_stress::any_granule_anywhere;
    "stress/changing-source", limit seconds!(30), cpus 2, realm_stress::changing_source;
    "stress/four-realms", limit by_calls, cpus 2, canary::four_realms;
    "stress/one-running-realm", limit by_calls, cpus 2, canary::one_realm;
    "parked/cpus-that-wait-for-a-lock", limit seconds!(10), cpus 2, parked::waiting_cpus;
    "parked/refused-undelegate", limit seconds!(10), cpus 1, parked::refused_undelegate;
    "parked/every-command", limit seconds!(20), cpus 1, parked::every_command;
    "parked/every-cpu", limit seconds!(20), cpus 2, parked::every_cpu;
    "parked/el3-goes-on", limit seconds!(10), cpus 1, parked::el3_goes_on;
    "parked/off-and-on-again", limit seconds!(60), cpus 2, parked::off_and_on_again;
}
