//! Tests of reading the machine.

use super::*;
use crate::test_trees::{self, TreeOptions};

fn read(options: &TreeOptions) -> Result<Machine, MachineError> {
    Machine::from_device_tree(&parse(&test_trees::blob(options)).unwrap())
}

#[test]
fn the_parts_are_found() {
    let machine = read(&TreeOptions::default()).unwrap();
    assert_eq!(
        machine.banks,
        [Region::new(0x4000_0000, 0x2_0000_0000).unwrap()]
    );
    assert_eq!(machine.cpus, [0, 1]);
    assert_eq!(machine.console, 0x0900_0000);
    assert_eq!(machine.firmware_config, 0x0902_0000);
    assert_eq!(machine.gic.distributor.start, 0x0800_0000);
    assert_eq!(machine.gic.redistributors[0].start, 0x080a_0000);
    assert_eq!(machine.gic.redistributors[0].size(), 0xf6_0000);
    assert_eq!(
        machine.power,
        Some(PowerLines {
            controller: 0x090b_0000,
            off: 0,
            reset: 1
        })
    );
}

#[test]
fn banks_are_sorted_and_joined_and_secure_memory_is_not_one() {
    let machine = read(&TreeOptions {
        memory: vec![
            (0x10_0000_0000, 0x4000_0000),
            (0x8000_0000, 0xc000_0000),
            (0x4000_0000, 0x4000_0000),
        ],
        ..TreeOptions::default()
    })
    .unwrap();
    assert_eq!(
        machine.banks,
        [
            Region::new(0x4000_0000, 0x1_0000_0000).unwrap(),
            Region::new(0x10_0000_0000, 0x4000_0000).unwrap()
        ]
    );
    assert_eq!(machine.granules(), 0x14_0000);
}

#[test]
fn cpus_are_numbered_by_affinity() {
    let machine = read(&TreeOptions {
        cpus: vec![0x100, 1, 0],
        ..TreeOptions::default()
    })
    .unwrap();
    assert_eq!(machine.cpus, [0, 1, 0x100]);
}

#[test]
fn bad_machines_are_refused_by_reason() {
    let memory = |memory: &[(u64, u64)]| {
        read(&TreeOptions {
            memory: memory.to_vec(),
            ..TreeOptions::default()
        })
    };
    assert_eq!(memory(&[]), Err(MachineError::NoMemory));
    assert_eq!(memory(&[(0x4000_0000, 0)]), Err(MachineError::NoMemory));
    assert_eq!(
        memory(&[(0x4000_0000, 0x2000), (0x4000_1000, 0x1000)]),
        Err(MachineError::MemoryLayout)
    );
    assert_eq!(
        memory(&[(0x4000_0000, 0x1234)]),
        Err(MachineError::MemoryLayout)
    );
    assert_eq!(
        memory(&[(u64::MAX - 0xfff, 0x2000)]),
        Err(MachineError::Property("reg"))
    );
    let many: Vec<_> = (0..65)
        .map(|i| (0x4000_0000 + i * 0x2000, 0x1000))
        .collect();
    assert_eq!(memory(&many), Err(MachineError::MemoryLayout));
    let cpus = |cpus: &[u32]| {
        read(&TreeOptions {
            cpus: cpus.to_vec(),
            ..TreeOptions::default()
        })
    };
    assert_eq!(cpus(&[]), Err(MachineError::Cpus));
    assert_eq!(cpus(&[1, 2]), Err(MachineError::Cpus));
    assert_eq!(cpus(&[0, 0]), Err(MachineError::Cpus));
    assert_eq!(
        cpus(&[0, 0x8000_0000]),
        Err(MachineError::Property("reg of a CPU"))
    );
    let without = |left_out| {
        read(&TreeOptions {
            left_out: Some(left_out),
            ..TreeOptions::default()
        })
    };
    assert_eq!(
        without("intc@8000000"),
        Err(MachineError::Missing("arm,gic-v3"))
    );
    assert_eq!(
        without("fw-cfg@9020000"),
        Err(MachineError::Missing("qemu,fw-cfg-mmio"))
    );
    assert_eq!(
        without("chosen"),
        Err(MachineError::Missing("/chosen/stdout-path"))
    );
    assert_eq!(without("cpus"), Err(MachineError::Missing("/cpus")));
    assert_eq!(without("gpio-restart").unwrap().power, None);
}

#[test]
fn damaged_and_oversized_trees_are_refused() {
    let blob = test_trees::blob(&TreeOptions::default());
    assert!(parse(&[]).is_err());
    assert_eq!(parse(&blob[..39]).err(), Some(MachineError::Malformed));
    assert_eq!(
        parse(&blob[..blob.len() - 4]).err(),
        Some(MachineError::Malformed)
    );
    // Whatever byte is damaged, the answer is an error or a machine, never a panic.
    for place in 0..blob.len() {
        for value in [0, 0xff, blob[place] ^ 0x10] {
            let mut damaged = blob.clone();
            damaged[place] = value;
            if let Ok(tree) = parse(&damaged) {
                let _ = Machine::from_device_tree(&tree);
            }
        }
    }
    assert_eq!(
        parse(&test_trees::deep(20)).err(),
        Some(MachineError::TooLarge)
    );
    assert!(parse(&test_trees::deep(10)).is_ok());
    assert_eq!(
        parse(&test_trees::wide(9000)).err(),
        Some(MachineError::TooLarge)
    );
}
