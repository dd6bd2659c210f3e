use std::collections::BTreeMap;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};

use super::*;
use crate::configuration::{ConsoleEnd, CpuCount, Disk, RealmOptions};

fn configuration(realm: bool, cpus: u32, disks: usize) -> Configuration {
    Configuration {
        realm: realm.then(RealmOptions::default),
        command_line: "console=ttyS0 root=/dev/vda".into(),
        cpus: CpuCount::new(cpus).unwrap(),
        disks: (0..disks)
            .map(|number| Disk {
                path: number.to_string().into(),
                read_only: false,
                direct: false,
            })
            .collect(),
        consoles: vec![ConsoleEnd::Nowhere],
        ..Configuration::new("kernel".into())
    }
}

fn layout(configuration: &Configuration) -> Layout {
    Layout::new(configuration.memory, configuration.cpus)
}

fn tree(configuration: &Configuration, seeds: Option<&Seeds>) -> Vec<u8> {
    let initrd = Some(Range::new(0x8040_0000, 0x1234));
    build(configuration, &layout(configuration), initrd, seeds).unwrap()
}

/// Every property of every node, by its path.
fn properties(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    fn collect(node: &FdtNode<'_>, path: &str, into: &mut BTreeMap<String, Vec<u8>>) {
        for property in node.properties() {
            let old = into.insert(
                format!("{path}:{}", property.name()),
                property.value().into(),
            );
            assert_eq!(old, None);
        }
        for child in node.children() {
            let path = format!("{path}/{}", child.name());
            collect(&child, &path, into);
        }
    }
    let mut all = BTreeMap::new();
    collect(&Fdt::new(bytes).unwrap().root(), "", &mut all);
    all
}

fn cells(bytes: &[u8]) -> Vec<u32> {
    let (cells, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect()
}

#[test]
fn a_realm_is_described() {
    let configuration = configuration(true, 18, 1);
    let all = properties(&tree(&configuration, None));
    let text = |name: &str| String::from_utf8(all[name].clone()).unwrap();
    let numbers = |name: &str| cells(&all[name]);

    assert_eq!(numbers(":interrupt-parent"), [1]);
    assert_eq!(text("/chosen:bootargs"), "console=ttyS0 root=/dev/vda\0");
    assert_eq!(text("/chosen:stdout-path"), "/serial@9000000\0");
    assert_eq!(numbers("/chosen:linux,initrd-start"), [0, 0x8040_0000]);
    assert_eq!(numbers("/chosen:linux,initrd-end"), [0, 0x8040_1234]);
    assert_eq!(
        numbers("/memory@80000000:reg"),
        [0, 0x8000_0000, 0, 0x2000_0000]
    );
    assert_eq!(text("/psci:method"), "smc\0");
    assert_eq!(text("/psci:compatible"), "arm,psci-1.0\0arm,psci-0.2\0");
    assert_eq!(
        numbers("/timer:interrupts"),
        [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]
    );

    let gic = "/interrupt-controller@8000000";
    assert_eq!(text(&format!("{gic}:compatible")), "arm,gic-v3\0");
    assert_eq!(numbers(&format!("{gic}:phandle")), [1]);
    assert_eq!(
        numbers(&format!("{gic}:reg")),
        [0, 0x800_0000, 0, 0x1_0000, 0, 0x1000_0000, 0, 18 * 0x2_0000]
    );
    assert_eq!(text("/serial@9000000:compatible"), "ns16550a\0");
    assert_eq!(numbers("/serial@9000000:reg"), [0, 0x900_0000, 0, 0x1000]);
    assert_eq!(numbers("/serial@9000000:interrupts"), [0, 0, 1]);

    for (slot, node) in ["/virtio_mmio@a000000", "/virtio_mmio@a001000"]
        .iter()
        .enumerate()
    {
        let device = layout(&configuration).virtio_slot(slot).unwrap();
        let base = u32::try_from(device.range.base).unwrap();
        assert_eq!(numbers(&format!("{node}:reg")), [0, base, 0, 0x200]);
        assert_eq!(
            numbers(&format!("{node}:interrupts")),
            [0, device.interrupt.0, 1]
        );
        assert!(all.contains_key(&format!("{node}:dma-coherent")));
    }
    assert!(!all.contains_key("/virtio_mmio@a002000:reg"));

    for number in 0..18 {
        let affinity = cpu_affinity(number);
        assert_eq!(numbers(&format!("/cpus/cpu@{affinity:x}:reg")), [affinity]);
        assert_eq!(
            text(&format!("/cpus/cpu@{affinity:x}:enable-method")),
            "psci\0"
        );
    }
    assert_eq!(
        all.keys()
            .filter(|key| key.ends_with(":enable-method"))
            .count(),
        18
    );
}

#[test]
fn only_an_ordinary_machine_has_seeds_and_hvc() {
    let realm = properties(&tree(&configuration(true, 1, 0), None));
    assert!(!realm.keys().any(|key| key.contains("seed")));
    let seeds = Seeds::random().unwrap();
    let machine = properties(&tree(&configuration(false, 1, 0), Some(&seeds)));
    assert_eq!(machine["/psci:method"], b"hvc\0");
    assert_eq!(machine["/chosen:rng-seed"], seeds.rng);
    assert_eq!(machine["/chosen:kaslr-seed"], seeds.kaslr);
    assert_ne!(seeds.rng, Seeds::random().unwrap().rng);
}

#[test]
fn the_largest_machine_fits() {
    let mut configuration = configuration(true, 512, 31);
    configuration.command_line = "x".repeat(MAX_COMMAND_LINE_BYTES - 1);
    let bytes = tree(&configuration, None);
    assert_eq!(
        properties(&bytes)
            .keys()
            .filter(|key| key.ends_with(":dma-coherent"))
            .count(),
        32
    );
}

#[test]
fn what_cannot_be_described_is_refused() {
    let mut machine = configuration(true, 1, 32);
    let failed =
        |machine: &Configuration| build(machine, &layout(machine), None, None).unwrap_err();
    assert_eq!(failed(&machine), DeviceTreeError::TooManyDevices);
    machine.disks.clear();
    machine.command_line = "x".repeat(MAX_COMMAND_LINE_BYTES);
    assert_eq!(
        failed(&machine),
        DeviceTreeError::CommandLineTooLong(MAX_COMMAND_LINE_BYTES)
    );
    machine.command_line = "a\0b".into();
    assert_eq!(failed(&machine), DeviceTreeError::CommandLineZero);
}

/// The device-tree compiler finds nothing to complain of.
#[test]
fn the_compiler_of_device_trees_takes_it() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut child = Command::new("dtc")
        .args(["-I", "dtb", "-O", "dts", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc, which set-up installs");
    let bytes = tree(&configuration(true, 3, 2), None);
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("arm,gic-v3"));
}
