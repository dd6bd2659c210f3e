//! Device trees for tests, in the shape in which QEMU's `virt` machine makes them.

use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

/// What a test wants to be different.
pub(crate) struct TreeOptions {
    /// Address and size of the memory nodes.
    pub(crate) memory: Vec<(u64, u64)>,
    /// Affinities.
    pub(crate) cpus: Vec<u32>,
    /// A child of the root that is missing.
    pub(crate) left_out: Option<&'static str>,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            memory: vec![(0x4000_0000, 0x2_0000_0000)],
            cpus: vec![0, 1],
            left_out: None,
        }
    }
}

fn node(name: &str, properties: &[(&str, Vec<u8>)]) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new(name).unwrap();
    for (name, value) in properties {
        node.add_property(DeviceTreeProperty::new(*name, value.clone()).unwrap());
    }
    node
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn cells(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

fn text(text: &str) -> Vec<u8> {
    format!("{text}\0").into_bytes()
}

/// A device: name, compatible, registers, other properties.
type Device = (
    &'static str,
    &'static str,
    &'static [u64],
    &'static [(&'static str, &'static [u32])],
);

const DEVICES: &[Device] = &[
    (
        "fw-cfg@9020000",
        "qemu,fw-cfg-mmio",
        &[0x0902_0000, 0x18],
        &[],
    ),
    (
        "pl011@9000000",
        "arm,pl011\0arm,primecell",
        &[0x0900_0000, 0x1000],
        &[],
    ),
    (
        "intc@8000000",
        "arm,gic-v3",
        &[0x0800_0000, 0x1_0000, 0x080a_0000, 0xf6_0000],
        &[("#redistributor-regions", &[1])],
    ),
    (
        "pl061@9030000",
        "arm,pl061\0arm,primecell",
        &[0x0903_0000, 0x1000],
        &[("phandle", &[5])],
    ),
    (
        "pl061@90b0000",
        "arm,pl061\0arm,primecell",
        &[0x090b_0000, 0x1000],
        &[("phandle", &[6])],
    ),
    (
        "gpio-poweroff",
        "gpio-poweroff",
        &[],
        &[("gpios", &[6, 0, 0])],
    ),
    (
        "gpio-restart",
        "gpio-restart",
        &[],
        &[("gpios", &[6, 1, 0])],
    ),
];

fn devices() -> Vec<DeviceTreeNode> {
    let mut nodes: Vec<_> = DEVICES
        .iter()
        .map(|(name, compatible, registers, others)| {
            let mut properties = vec![("compatible", text(compatible))];
            if !registers.is_empty() {
                properties.push(("reg", words(registers)));
            }
            properties.extend(others.iter().map(|(name, value)| (*name, cells(value))));
            node(name, &properties)
        })
        .collect();
    nodes.push(node(
        "secram@e000000",
        &[
            ("device_type", text("memory")),
            ("status", text("disabled")),
            ("reg", words(&[0x0e00_0000, 0x100_0000])),
        ],
    ));
    nodes.push(node("aliases", &[("serial0", text("/pl011@9000000"))]));
    nodes.push(node(
        "chosen",
        &[
            ("stdout-path", text("serial0:115200n8")),
            ("kaslr-seed", words(&[0x1234])),
        ],
    ));
    nodes
}

pub(crate) fn blob(options: &TreeOptions) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    tree.root = node(
        "",
        &[
            ("#address-cells", cells(&[2])),
            ("#size-cells", cells(&[2])),
        ],
    );
    let mut children = devices();
    let mut cpus = node(
        "cpus",
        &[
            ("#address-cells", cells(&[1])),
            ("#size-cells", cells(&[0])),
        ],
    );
    for (place, affinity) in options.cpus.iter().enumerate() {
        // The place makes names differ where affinities do not.
        let name = format!("cpu@{affinity:x}.{place}");
        cpus.add_child(node(
            &name,
            &[("device_type", text("cpu")), ("reg", cells(&[*affinity]))],
        ));
    }
    children.push(cpus);
    for (place, (address, size)) in options.memory.iter().enumerate() {
        children.push(node(
            &format!("memory@{address:x}.{place}"),
            &[
                ("device_type", text("memory")),
                ("numa-node-id", cells(&[u32::try_from(place).unwrap()])),
                ("reg", words(&[*address, *size])),
            ],
        ));
    }
    for child in children {
        if dtoolkit::Node::name(&child) != options.left_out.unwrap_or_default() {
            tree.root.add_child(child);
        }
    }
    tree.to_dtb()
}

/// A tree of nodes inside nodes.
pub(crate) fn deep(depth: usize) -> Vec<u8> {
    let mut inner = node("n", &[]);
    for _ in 0..depth {
        let mut outer = node("n", &[]);
        outer.add_child(inner);
        inner = outer;
    }
    let mut tree = DeviceTree::new();
    tree.root.add_child(inner);
    tree.to_dtb()
}

/// A tree of many nodes side by side.
pub(crate) fn wide(count: usize) -> Vec<u8> {
    let mut tree = DeviceTree::new();
    for number in 0..count {
        tree.root.add_child(node(&format!("n{number}"), &[]));
    }
    tree.to_dtb()
}
