//! Tests of the layout.

use super::*;
use crate::machine::parse;
use crate::region::GIB;
use crate::test_trees::{self, TreeOptions};

const DEVICE_TREE: Region = Region {
    start: 0x4000_0000,
    end: 0x4010_0000,
};
const KERNEL: KernelImage = KernelImage {
    text_offset: 0x8_0000,
    memory_size: 0x20_1000,
};

fn machine(memory: &[(u64, u64)]) -> Machine {
    let blob = test_trees::blob(&TreeOptions {
        memory: memory.to_vec(),
        ..TreeOptions::default()
    });
    Machine::from_device_tree(&parse(&blob).unwrap()).unwrap()
}

fn space(machine: &Machine) -> ProtectedSpace {
    ProtectedSpace::new(48, &machine.banks, &[]).unwrap()
}

fn rmm(per_granule: u32) -> RmmImage {
    RmmImage {
        file_size: 0x4_0000,
        header: Some(ImageHeader {
            entry: 0,
            magic: ImageHeader::MAGIC,
            lowest_interface: 0,
            highest_interface: 8,
            image_memory: 0x8_0000,
            memory_per_cpu: 0x1_0000,
            memory_per_granule: per_granule,
            fixed_memory: 0,
        }),
        cpus: 2,
        withheld: 0,
    }
}

fn check(machine: &Machine, layout: &Layout) {
    let parts = [
        layout.root,
        layout.secure,
        layout.realm,
        layout.shared,
        layout.kernel,
        layout.device_tree,
        layout.initrd,
    ];
    for pair in parts.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{layout:x?}");
    }
    for part in parts {
        assert!(machine.banks[0].covers(&part), "{layout:x?}");
    }
    for part in [layout.scratch, layout.level_0, layout.level_1] {
        assert!(layout.root.covers(&part));
    }
    assert!(layout.level_0.end <= layout.level_1.start);
    assert!(layout.level_1.start.is_multiple_of(L1_TABLE_SIZE));
    assert!(layout.level_0.start.is_multiple_of(layout.level_0.size()));
    assert!(layout.realm.covers(&layout.pool));
    assert_eq!(layout.secure.size(), GRANULE);
    assert_eq!(layout.shared.size(), GRANULE);
    // No gap between the carve-outs, and whole 2 MiB blocks of them.
    assert_eq!(layout.root.end, layout.secure.start);
    assert_eq!(layout.secure.end, layout.realm.start);
    assert_eq!(layout.realm.end, layout.shared.start);
    assert!(layout.carve_outs().start.is_multiple_of(MIB_2));
    assert!(layout.carve_outs().end.is_multiple_of(MIB_2));
    assert!(layout.realm.start.is_multiple_of(MIB_2));
    assert!(layout.carve_outs().start >= DEVICE_TREE.end);
    assert_eq!(layout.kernel.start % MIB_2, KERNEL.text_offset);
    assert!(layout.device_tree.start.is_multiple_of(MIB_2));
}

#[test]
fn fits_from_one_to_64_gib_and_over_several_banks() {
    for memory in [
        &[(0x4000_0000, GIB)][..],
        &[(0x4000_0000, 8 * GIB)],
        &[(0x4000_0000, 64 * GIB)],
        &[(0x4000_0000, GIB), (0x10_0000_0000, 31 * GIB)],
    ] {
        let machine = machine(memory);
        for rmm in [
            None,
            Some(rmm(8)),
            Some(RmmImage {
                file_size: 0x10_0000,
                header: None,
                ..rmm(8)
            }),
        ] {
            let plan = Layout::plan(
                &machine,
                &space(&machine),
                &DEVICE_TREE,
                rmm.as_ref(),
                &KERNEL,
                0x12345,
            );
            let layout = plan.unwrap();
            check(&machine, &layout);
            assert_eq!(layout.initrd.size(), 0x12345);
            let needed = match rmm {
                None => 0,
                Some(RmmImage { header: None, .. }) => (24 << 20) + 8 * machine.granules(),
                Some(_) => 0x8_0000 + 2 * 0x1_0000 + 8 * machine.granules(),
            };
            assert!(layout.pool.start - layout.realm.start >= needed);
            assert_eq!(layout.pool.size(), POOL_SIZE);
            assert!(layout.gap.is_empty());
        }
    }
}

#[test]
fn an_rmm_gets_memory_for_all_cpus_that_are_announced() {
    let machine = machine(&[(0x4000_0000, GIB)]);
    let room = |cpus| {
        let rmm = RmmImage { cpus, ..rmm(8) };
        let plan = Layout::plan(
            &machine,
            &space(&machine),
            &DEVICE_TREE,
            Some(&rmm),
            &KERNEL,
            0,
        );
        let layout = plan.unwrap();
        check(&machine, &layout);
        layout.pool.start - layout.realm.start
    };
    assert_eq!(room(512) - room(2), 510 * 0x1_0000);
}

#[test]
fn what_is_withheld_is_followed_by_memory_that_is_not_the_rmms() {
    let machine = machine(&[(0x4000_0000, GIB)]);
    let layout = |withheld| {
        let rmm = RmmImage { withheld, ..rmm(8) };
        let plan = Layout::plan(
            &machine,
            &space(&machine),
            &DEVICE_TREE,
            Some(&rmm),
            &KERNEL,
            0,
        );
        plan.unwrap()
    };
    let all = layout(0).pool.start;
    let less = layout(0x3000);
    check(&machine, &less);
    assert_eq!((less.gap.start, less.gap.size()), (all - 0x3000, GRANULE));
    assert_eq!(less.pool.start, less.gap.end);
    // The image has room whatever is withheld.
    assert_eq!(layout(u64::MAX).gap.start, less.realm.start + 0x8_0000);
}

#[test]
fn too_little_memory_says_how_much_is_needed() {
    let machine = machine(&[(0x4000_0000, 4 << 20)]);
    let plan = Layout::plan(
        &machine,
        &space(&machine),
        &DEVICE_TREE,
        Some(&rmm(8)),
        &KERNEL,
        0,
    );
    let error = plan.unwrap_err();
    assert!(
        matches!(error, LayoutError::TooLittleMemory { available: 0x40_0000, needed } if needed > 0x40_0000)
    );
    assert!(std::format!("{error}").contains("has 4 MiB"));
}

#[test]
fn numbers_out_of_a_header_do_not_wrap() {
    let machine = machine(&[(0x4000_0000, GIB)]);
    let plan = |rmm: Option<&RmmImage>, kernel: &KernelImage, initrd| {
        Layout::plan(
            &machine,
            &space(&machine),
            &DEVICE_TREE,
            rmm,
            kernel,
            initrd,
        )
    };
    let mut hungry = rmm(8);
    if let Some(header) = &mut hungry.header {
        header.memory_per_cpu = u64::MAX;
    }
    assert_eq!(plan(Some(&hungry), &KERNEL, 0), Err(LayoutError::Overflow));
    let huge = KernelImage {
        text_offset: 0,
        memory_size: u64::MAX,
    };
    assert_eq!(plan(None, &huge, 0), Err(LayoutError::Overflow));
    assert_eq!(plan(None, &KERNEL, u64::MAX), Err(LayoutError::Overflow));
}

#[test]
fn a_device_tree_outside_the_first_bank_is_refused() {
    let machine = machine(&[(0x8000_0000, GIB)]);
    assert_eq!(
        carve_out_base(&machine, &DEVICE_TREE),
        Err(LayoutError::DeviceTreeElsewhere)
    );
}
