use std::fs;

use attestation_token::HashAlgorithm as TokenHash;

use super::*;
use crate::command_line::Arguments;
use crate::command_line::Command;
use crate::configuration::Configuration;
use crate::test_kernel::TestKernel;
use clap::Parser as _;

const PAGE: usize = 4096;

/// Options of `measure` for the files in a folder, as a machine.
fn configuration(folder: &std::path::Path, more: &[&str]) -> Configuration {
    let kernel = folder.join("kernel");
    let initrd = folder.join("initrd");
    fs::write(&kernel, TestKernel::default().build()).unwrap();
    fs::write(&initrd, [9; PAGE + 1]).unwrap();
    let mut line = vec!["host-vmm", "measure"];
    if !more.contains(&"--memory") {
        line.extend(["--memory", "8M"]);
    }
    line.extend(["--kernel", kernel.to_str().unwrap()]);
    line.extend(["--initrd", initrd.to_str().unwrap()]);
    line.extend(more);
    match Arguments::try_parse_from(line).unwrap().command {
        Command::Measure(measure) => measure.effective().unwrap().configuration,
        _ => unreachable!(),
    }
}

fn measured(more: &[&str]) -> HashValue {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), more);
    let options = configuration.realm.clone().unwrap();
    initial_measurement(&options, &Prepared::new(&configuration).unwrap()).unwrap()
}

/// The calls of a launch, by hand.
fn by_hand(algorithm: TokenHash, tree: &[u8]) -> HashValue {
    let mut realm = Realm::new(&RealmParameters {
        lpa2: false,
        sve_vl: None,
        pmu_counters: None,
        ipa_width: 33,
        breakpoints: 1,
        watchpoints: 1,
        hash_algorithm: algorithm,
    })
    .unwrap();
    for block in 0..4 {
        let base = 0x8000_0000 + block * 0x20_0000;
        realm.init_ripas(base, base + 0x20_0000, 2).unwrap();
    }
    let mut page = |ipa: u64, bytes: &[u8]| {
        let mut content = [0; PAGE];
        content[..bytes.len()].copy_from_slice(bytes);
        realm.data(ipa, Content::Measured(&content)).unwrap();
    };
    let kernel = TestKernel::default().build();
    page(0x8000_0000, &kernel[..PAGE]);
    page(0x8000_1000, &kernel[PAGE..2 * PAGE]);
    page(0x8000_2000, &kernel[2 * PAGE..]);
    page(0x8020_0000, tree);
    page(0x8040_0000, &[9; PAGE]);
    page(0x8040_1000, &[9]);
    realm.rec(&Rec {
        pc: 0x8000_0000,
        gprs: [0x8020_0000, 0, 0, 0, 0, 0, 0, 0],
    });
    realm.initial_measurement()
}

#[test]
fn it_is_what_the_calls_of_a_launch_come_to() {
    for (name, algorithm) in [
        ("sha-256", TokenHash::Sha256),
        ("sha-512", TokenHash::Sha512),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(folder.path(), &["--hash", name]);
        let prepared = Prepared::new(&configuration).unwrap();
        let tree = prepared.device_tree().content();
        assert_eq!(
            measured(&["--hash", name]),
            by_hand(algorithm, &tree),
            "{name}"
        );
    }
}

#[test]
fn what_is_measured_counts_and_nothing_else_does() {
    let plain = measured(&[]);
    for same in [
        &["--realm"][..],
        &["--name", "other"],
        &["--personalization-value", "tenant"],
        &["--serial", "none"],
        &["--on-reset", "exit"],
        &["--cmdline", "console=ttyS0"],
        &["--backend", "module"],
        &["--realm-device", "/nowhere"],
    ] {
        assert_eq!(measured(same), plain, "{same:?}");
    }
    let mut all = vec![plain];
    for other in [
        &["--memory", "10M"][..],
        &["--cpus", "2"],
        &["--cmdline", "console=ttyS0 quiet"],
        &["--disk", "a"],
        &["--disk", "a", "--disk", "b"],
        &["--sve-vl", "128"],
        &["--sve-vl", "256"],
        &["--pmu-counters", "0"],
        &["--breakpoints", "3"],
        &["--watchpoints", "3"],
        &["--hash", "sha-512"],
    ] {
        all.push(measured(other));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    // Which files the disks are does not count.
    assert_eq!(
        measured(&["--disk", "a"]),
        measured(&["--disk", "b,readonly"])
    );
}
