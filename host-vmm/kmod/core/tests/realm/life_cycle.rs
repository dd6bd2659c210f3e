//! From nothing to an active Realm and back.

use realm_kmod_core::realm::{Configuration, Fault, Realm, RealmError, Statistics};
use rmm_abi::rmi::HashAlgorithm;

use crate::machine::{Kernel, USER, USER_PAGES, on_machine, user_word};
use crate::vm::{BLOCK, IPA_BITS, PAGE, RAM, RAM_SIZE, Vm};

#[test]
fn a_realm_that_was_never_built_leaves_nothing() {
    on_machine(|kernel| {
        Vm::new(kernel, 2).destroy();
        assert_eq!(kernel.requests(), 0);
    });
}

#[test]
fn populated_blocks_are_mapped_as_blocks() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        vm.populate(USER_PAGES).expect("populated");
        let before = vm.realm().statistics(&kernel.onlooker());
        assert_eq!(
            (before.pages_private, before.blocks_private),
            (USER_PAGES, 0)
        );
        vm.start(&kernel.cpu()).expect("started");
        kernel.check_guards();
        assert_eq!(
            vm.realm().statistics(&kernel.onlooker()),
            Statistics {
                pages_private: 512,
                blocks_private: 1,
                pages_shared: 0,
                // Two to begin with, and one of level 2.
                tables: 3,
                populate_nanoseconds: 1000,
                faults: 0,
            }
        );
        assert!(vm.realm().is_active());
        vm.destroy();
    });
}

#[test]
fn content_arrives() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        vm.populate(3).expect("populated");
        let delegated = kernel.delegated();
        for page in 0..3 {
            let with_content =
                |&&address: &&u64| kernel.memory.inspect(address, 0) == user_word(page);
            assert_eq!(delegated.iter().filter(with_content).count(), 1, "{page}");
        }
        vm.destroy();
    });
}

#[test]
fn faults_bring_whole_blocks() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        let cpu = kernel.cpu();
        vm.start(&cpu).expect("started");
        let mut realm = vm.realm();
        assert_eq!(
            realm.private_fault(&cpu, RAM + BLOCK + 0x1234),
            Ok(Fault::Resolved)
        );
        let statistics = realm.statistics(&kernel.onlooker());
        assert_eq!(
            (statistics.pages_private, statistics.blocks_private),
            (512, 1)
        );
        assert_eq!(statistics.faults, 1);
        // Another REC that was late.
        assert_eq!(realm.private_fault(&cpu, RAM + BLOCK), Ok(Fault::Resolved));
        assert_eq!(realm.statistics(&kernel.onlooker()).pages_private, 512);
        assert_eq!(realm.private_fault(&cpu, RAM - 1), Ok(Fault::Hopeless));
        drop(realm);
        kernel.check_guards();
        vm.destroy();
    });
}

#[test]
fn without_touching_chunks_there_are_pages() {
    on_machine(|kernel| {
        kernel.scatter();
        let vm = Vm::new(kernel, 1);
        let cpu = kernel.cpu();
        vm.populate(2).expect("populated");
        vm.start(&cpu).expect("started");
        for page in 0..600 {
            let ipa = RAM + BLOCK + page * PAGE;
            assert_eq!(vm.realm().private_fault(&cpu, ipa), Ok(Fault::Resolved));
        }
        let statistics = vm.realm().statistics(&kernel.onlooker());
        assert_eq!(
            (statistics.pages_private, statistics.blocks_private),
            (602, 0)
        );
        kernel.check_guards();
        // Memory is not taken without bound in the hope for blocks.
        let owned = kernel.shared().pool.counters().owned;
        assert!(owned <= 5 * 1024, "{owned}");
        vm.destroy();
    });
}

#[test]
fn all_of_a_slot_in_blocks() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        let cpu = kernel.cpu();
        vm.populate(1).expect("populated");
        vm.start(&cpu).expect("started");
        for block in 0..RAM_SIZE / BLOCK {
            let fault = vm.realm().private_fault(&cpu, RAM + block * BLOCK);
            assert_eq!(fault, Ok(Fault::Resolved));
        }
        let statistics = vm.realm().statistics(&kernel.onlooker());
        assert_eq!(statistics.blocks_private, RAM_SIZE / BLOCK);
        vm.destroy();
    });
}

/// The larger a Realm, the longer it takes to look at it all. Others get to run meanwhile.
#[test]
fn walks_over_all_memory_let_others_run() {
    on_machine(|kernel: &Kernel<'_>| {
        const REGIONS: u64 = 4096;
        let cpu = kernel.onlooker();
        let rests = |action: &mut dyn FnMut()| {
            let before = kernel.rests();
            action();
            kernel.rests() - before
        };
        let mut realm = Realm::new(kernel.features(), 40).expect("possible");
        let added = rests(&mut || {
            let result = realm.add_slot(&cpu, 0, 0, REGIONS * BLOCK, USER);
            result.expect("a slot");
        });
        assert_eq!(added, REGIONS / 512);
        let counted = rests(&mut || {
            realm.statistics(&cpu);
        });
        assert_eq!(counted, REGIONS);
        for private in [false, true] {
            let changed = rests(&mut || {
                let result = realm.set_private(&cpu, 0, REGIONS * BLOCK, private);
                result.expect("changed");
            });
            assert_eq!(changed, REGIONS);
        }
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    on_machine(|kernel| {
        let features = kernel.features();
        for bits in [0, 31, 49, 255] {
            assert!(Realm::new(features, bits).is_err(), "{bits}");
        }
        let mut realm = Realm::new(features, IPA_BITS).expect("possible");
        let invalid = Err(RealmError::Invalid);
        let half = 1 << (IPA_BITS - 1);
        for (base, size, user) in [
            (RAM + PAGE, BLOCK, 0),
            (RAM, PAGE, 0),
            (RAM, 0, 0),
            (RAM, BLOCK, 1),
            (RAM, BLOCK, !0xfff),
            (half, BLOCK, 0),
            (half - BLOCK, 2 * BLOCK, 0),
            (!0 - BLOCK + 1, BLOCK, 0),
            (!0 - BLOCK + 1, 2 * BLOCK, 0),
        ] {
            assert_eq!(
                realm.add_slot(&kernel.onlooker(), 0, base, size, user),
                invalid,
                "{base:#x} {size:#x}"
            );
        }
        assert_eq!(
            realm.add_slot(&kernel.onlooker(), 0, RAM, 2 * BLOCK, 0),
            Ok(())
        );
        assert_eq!(
            realm.add_slot(&kernel.onlooker(), 0, 0, BLOCK, 0),
            Err(RealmError::Busy)
        );
        for base in [RAM - BLOCK, RAM, RAM + BLOCK] {
            let result = realm.add_slot(&kernel.onlooker(), 1, base, 2 * BLOCK, 0);
            assert_eq!(result, Err(RealmError::Exists), "{base:#x}");
        }
        assert_eq!(
            realm.add_slot(&kernel.onlooker(), 1, RAM - BLOCK, BLOCK, 0),
            Ok(())
        );
        let configuration = Configuration::default();
        for wrong in [
            Configuration {
                sve_vector_length: Some(4),
                ..configuration
            },
            Configuration {
                pmu_counters: Some(7),
                ..configuration
            },
            Configuration {
                breakpoints: 0,
                ..configuration
            },
            Configuration {
                watchpoints: 4,
                ..configuration
            },
        ] {
            assert_eq!(realm.configure(&wrong), invalid, "{wrong:?}");
        }
        assert_eq!(realm.add_vcpu(512), invalid);
        assert_eq!(realm.add_vcpu(1), Ok(()));
        assert_eq!(realm.add_vcpu(1), Err(RealmError::Exists));
        assert_eq!(realm.create_gic(), Ok(()));
        // Number 0 is missing.
        assert_eq!(realm.build_gic().map(|_| ()), invalid);
        assert_eq!(realm.add_vcpu(0), Ok(()));
        assert_eq!(realm.initialise_vcpu(0, 4, &[4, 0, 0, 0, 0, 0, 0]), invalid);
        assert_eq!(
            realm.initialise_vcpu(0, 5, &[12, 0, 0, 0, 0, 0, 0]),
            invalid
        );
        assert_eq!(realm.initialise_vcpu(0, 5, &[4, 0, 0, 0, 0, 0, 1]), invalid);
        let id = 0x6030_0000_0010_0000;
        assert_eq!(realm.set_register(0, id + 14, 7), Ok(()));
        assert_eq!(realm.get_register(0, id + 14), Ok(7));
        for wrong in [id + 1, id + 16, id - 2, 0, !0] {
            let result = realm.set_register(0, wrong, 0);
            assert_eq!(result, Err(RealmError::NoSuchRegister), "{wrong:#x}");
        }
        // No interrupt controller, and a vCPU that is not initialised.
        assert_eq!(realm.start(&kernel.cpu()), invalid);
        realm.teardown(&kernel.cpu());
    });
}

#[test]
fn populate_looks_at_its_arguments() {
    on_machine(|kernel| {
        let vm = Vm::new(kernel, 1);
        let cpu = kernel.cpu();
        let populate = |base, size, source| vm.realm().populate(&cpu, base, size, source, false);
        let invalid = (0, Err(RealmError::Invalid));
        assert_eq!(populate(RAM + 1, PAGE, USER), invalid);
        assert_eq!(populate(RAM, 1, USER), invalid);
        assert_eq!(populate(RAM, 0, USER), invalid);
        assert_eq!(populate(RAM, PAGE, USER + 1), invalid);
        assert_eq!(populate(RAM - PAGE, 2 * PAGE, USER), invalid);
        assert_eq!(populate(RAM + RAM_SIZE - PAGE, 2 * PAGE, USER), invalid);
        assert_eq!(populate(!0 << 12, PAGE, USER), invalid);
        assert_eq!(populate(RAM, PAGE, !0 << 12), invalid);
        assert_eq!(kernel.delegated().len(), 0);
        // The caller's memory ends: what was there counts.
        let last = USER + (USER_PAGES - 2) * PAGE;
        let bad_address = Err(RealmError::BadAddress);
        assert_eq!(populate(RAM, 4 * PAGE, last), (2 * PAGE, bad_address));
        assert_eq!(
            populate(RAM + PAGE, PAGE, USER),
            (0, Err(RealmError::Exists))
        );
        assert_eq!(populate(RAM + 2 * PAGE, PAGE, USER), (PAGE, Ok(())));
        assert_eq!(
            vm.realm().configure(&Configuration::default()),
            Err(RealmError::Busy)
        );
        assert_eq!(
            vm.realm().add_slot(&kernel.onlooker(), 9, 0, BLOCK, 0),
            Err(RealmError::Busy)
        );
        assert_eq!(
            vm.realm().set_private(&cpu, RAM + BLOCK, PAGE, false),
            Ok(())
        );
        assert_eq!(populate(RAM + BLOCK, PAGE, USER), invalid);
        vm.start(&cpu).expect("started");
        assert_eq!(
            populate(RAM + 3 * PAGE, PAGE, USER),
            (0, Err(RealmError::Busy))
        );
        vm.destroy();
    });
}

#[test]
fn every_shape_and_option() {
    on_machine(|kernel| {
        let cpu = kernel.cpu();
        for (bits, base) in [
            (32, 0),
            (36, RAM),
            (40, 0),
            (43, 1 << 41),
            (44, 0),
            (48, 1 << 46),
        ] {
            let mut realm = Realm::new(kernel.features(), bits).expect("possible");
            realm
                .configure(&Configuration {
                    sve_vector_length: Some(3),
                    pmu_counters: Some(6),
                    breakpoints: 5,
                    watchpoints: 3,
                    hash_algorithm: HashAlgorithm::Sha512,
                    personalization_value: [7; 64],
                })
                .expect("possible");
            realm
                .add_slot(&kernel.onlooker(), 0, base, BLOCK, USER)
                .expect("a slot");
            let vm = Vm::bare(kernel, realm);
            vm.add_vcpus(2);
            let populated = vm.realm().populate(&cpu, base, PAGE, USER, false);
            assert_eq!(populated, (PAGE, Ok(())), "{bits}");
            vm.start(&cpu).expect("started");
            assert_eq!(
                vm.realm().private_fault(&cpu, base + PAGE),
                Ok(Fault::Resolved)
            );
            vm.destroy();
        }
    });
}

#[test]
fn slots_apart_from_each_other() {
    on_machine(|kernel: &Kernel<'_>| {
        let cpu = kernel.cpu();
        let mut realm = Realm::new(kernel.features(), IPA_BITS).expect("possible");
        let far = 5 << 30;
        // Not in their order.
        realm
            .add_slot(&kernel.onlooker(), 7, far, BLOCK, USER)
            .expect("a slot");
        realm
            .add_slot(&kernel.onlooker(), 3, 0, 2 * BLOCK, USER)
            .expect("a slot");
        realm
            .add_slot(&kernel.onlooker(), 4, 2 * BLOCK, BLOCK, USER)
            .expect("a slot");
        let vm = Vm::bare(kernel, realm);
        vm.add_vcpus(1);
        vm.start(&cpu).expect("started");
        for ipa in [0, BLOCK, 2 * BLOCK, far + BLOCK - 1] {
            assert_eq!(
                vm.realm().private_fault(&cpu, ipa),
                Ok(Fault::Resolved),
                "{ipa:#x}"
            );
        }
        let layout = vm.realm().layout();
        for (address, there) in [
            (0, true),
            (3 * BLOCK - 1, true),
            (3 * BLOCK, false),
            (far - 1, false),
            (far, true),
            (far + BLOCK, false),
        ] {
            assert_eq!(layout.contains(address), there, "{address:#x}");
        }
        // One range may go across slots that touch, and not across a gap.
        assert_eq!(
            vm.realm().set_private(&cpu, BLOCK, 2 * BLOCK, false),
            Ok(())
        );
        let gap = vm.realm().set_private(&cpu, BLOCK, far, false);
        assert_eq!(gap, Err(RealmError::Invalid));
        vm.destroy();
    });
}
