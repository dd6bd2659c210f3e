//! Random lives of Realms, with trouble in between: what is private and what is shared is as the
//! calls say, and in the end everything comes back.

use proptest::prelude::*;
use realm_kmod_core::realm::{Fault, RealmError};

use crate::machine::{Kernel, Trouble, USER, USER_PAGES, on_machine};
use crate::vm::{BLOCK, PAGE, RAM, RAM_SIZE, Vm};

const PAGES: u64 = RAM_SIZE / PAGE;

#[derive(Clone, Debug)]
enum Step {
    /// First page and number of pages.
    Populate(u64, u64),
    SetPrivate(u64, u64, bool),
    PrivateFault(u64),
    SharedFault(u64),
    Start,
    /// The command so many from now on fails, with this code.
    Trouble(u64, u64),
    NoMemory,
    Relief,
    Scatter,
}

/// Pages at the edges of blocks, where it is interesting, and some others.
fn page() -> impl Strategy<Value = u64> {
    let block = BLOCK / PAGE;
    prop_oneof![
        (0..PAGES / block, 0..3_u64).prop_map(move |(number, page)| number * block + page),
        (1..=PAGES / block, 1..3_u64).prop_map(move |(number, page)| number * block - page),
        0..PAGES,
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![1..4_u64, Just(512), Just(PAGES), 1..700_u64]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (page(), 1..5_u64).prop_map(|(first, count)| Step::Populate(first, count)),
        4 => (page(), count(), any::<bool>())
            .prop_map(|(first, count, private)| Step::SetPrivate(first, count, private)),
        6 => page().prop_map(Step::PrivateFault),
        3 => (0..USER_PAGES).prop_map(Step::SharedFault),
        1 => Just(Step::Start),
        2 => (0..1500_u64, prop_oneof![Just(1), Just(0x204), Just(0x304), Just(!0)])
            .prop_map(|(after, code)| Step::Trouble(after, code)),
        1 => Just(Step::NoMemory),
        2 => Just(Step::Relief),
        1 => Just(Step::Scatter),
    ]
}

/// What the calls say.
struct Model {
    private: Vec<bool>,
    active: bool,
    /// Something may fail.
    trouble: bool,
}

impl Model {
    /// An error that nothing but trouble explains.
    fn troubled(&self, error: RealmError) {
        let explained = matches!(error, RealmError::Rmm(_) | RealmError::OutOfMemory);
        assert!(self.trouble && explained, "{error:?}");
    }
}

fn apply(kernel: &Kernel<'_>, vm: &Vm<'_, '_>, model: &mut Model, step: &Step) {
    let cpu = kernel.cpu();
    let pages = |first: u64, count: u64| {
        let range = first..(first + count).min(PAGES);
        range.map(|page| usize::try_from(page).expect("small"))
    };
    match *step {
        Step::Populate(first, count) => {
            let (base, size) = (RAM + first * PAGE, count * PAGE);
            let (done, result) = vm.realm().populate(&cpu, base, size, USER, false);
            assert!(done <= size && done.is_multiple_of(PAGE));
            match result {
                Ok(()) => assert_eq!(done, size),
                Err(RealmError::Busy) => assert!(model.active),
                Err(RealmError::Invalid) => {
                    let shared = pages(first, count).any(|page| !model.private[page]);
                    assert!(shared || first + count > PAGES);
                }
                Err(RealmError::Exists) => {}
                Err(error) => model.troubled(error),
            }
        }
        Step::SetPrivate(first, count, private) => {
            let count = count.min(PAGES - first);
            let result = vm
                .realm()
                .set_private(&cpu, RAM + first * PAGE, count * PAGE, private);
            let mut set = || pages(first, count).for_each(|page| model.private[page] = private);
            match result {
                Ok(()) => set(),
                // A part of it may be done; a second try without trouble does all of it.
                Err(error) => {
                    set();
                    model.troubled(error);
                    kernel.cause(None);
                    let again =
                        vm.realm()
                            .set_private(&cpu, RAM + first * PAGE, count * PAGE, private);
                    assert_eq!(again, Ok(()));
                    model.trouble = false;
                }
            }
        }
        Step::PrivateFault(page) => match vm.realm().private_fault(&cpu, RAM + page * PAGE) {
            Ok(Fault::OtherKind) => assert!(!model.private[usize::try_from(page).expect("small")]),
            Ok(Fault::Resolved | Fault::Hopeless) => {
                assert!(model.private[usize::try_from(page).expect("small")]);
            }
            Err(RealmError::Busy) => assert_eq!(kernel.shared().vmids.in_use(), 0),
            Err(error) => model.troubled(error),
        },
        Step::SharedFault(page) => match vm.realm().shared_fault(&cpu, RAM + page * PAGE) {
            Ok(Fault::OtherKind) => assert!(model.private[usize::try_from(page).expect("small")]),
            Ok(fault) => {
                assert_eq!(fault, Fault::Resolved);
                assert!(!model.private[usize::try_from(page).expect("small")]);
            }
            Err(RealmError::Busy) => assert_eq!(kernel.shared().vmids.in_use(), 0),
            Err(error) => model.troubled(error),
        },
        Step::Start => match vm.start(&cpu) {
            Ok(()) => model.active = true,
            Err(error) => model.troubled(error),
        },
        Step::Trouble(after, code) => {
            kernel.cause(Some(Trouble::Command(after, code)));
            model.trouble = true;
        }
        Step::NoMemory => {
            kernel.cause(Some(Trouble::Memory(0)));
            model.trouble = true;
        }
        Step::Relief => {
            kernel.cause(None);
            model.trouble = false;
        }
        Step::Scatter => kernel.scatter(),
    }
    kernel.check_guards();
    let statistics = vm.realm().statistics(&kernel.onlooker());
    assert_eq!(kernel.pinned() as u64, statistics.pages_shared);
    let private = model.private.iter().filter(|&&private| private).count() as u64;
    assert!(statistics.pages_private <= private, "{statistics:?}");
    assert!(statistics.pages_shared <= PAGES - private, "{statistics:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_life(steps in proptest::collection::vec(step(), 1..40)) {
        on_machine(|kernel| {
            let vm = Vm::new(kernel, 2);
            let mut model = Model {
                private: vec![true; usize::try_from(PAGES).expect("small")],
                active: false,
                trouble: false,
            };
            for step in &steps {
                apply(kernel, &vm, &mut model, step);
            }
            // One command may still fail, and is tried again.
            vm.destroy();
            kernel.cause(None);
        });
    }
}
