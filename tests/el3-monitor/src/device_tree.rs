//! The device tree for the normal world: the machine's own, with firmware, without the carve-outs.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::error::ModelError;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node as _, ToPropertyValue};

use crate::Region;
use crate::layout::Layout;
use crate::machine::{CellCounts, MachineError, is_memory};

/// Longest command line, in bytes.
pub const MAX_COMMAND_LINE: usize = 2048;

/// Rewrites a tree for the normal world, with memory that it does not know of yet.
///
/// # Errors
///
/// [`MachineError::Property`] when the tree describes memory in a way that [`crate::machine`]
/// would have refused.
pub fn rewrite(
    tree: &Fdt<'_>,
    layout: &Layout,
    further_memory: &[Region],
    command_line: Option<&str>,
) -> Result<Vec<u8>, MachineError> {
    let cells = CellCounts::of(&tree.root())?;
    let carve_outs = layout.carve_outs();
    let mut model = DeviceTree::from_fdt(tree);

    for node in tree.root().children().filter(is_memory) {
        let rest = cells.regions(&node)?;
        let rest = rest
            .iter()
            .flat_map(|region| region.without(&carve_outs))
            .filter(|region| !region.is_empty());
        let rest = encode(cells, rest)?;
        if rest.is_empty() {
            model.root.remove_child(node.name());
        } else if let Some(copy) = model.root.child_mut(node.name()) {
            set(copy, "reg", rest)?;
        }
    }

    for region in further_memory {
        let mut node = new_node(format!("memory@{:x}", region.start))?;
        set(&mut node, "device_type", "memory")?;
        set(&mut node, "reg", encode(cells, [*region])?)?;
        add_node(&mut model.root, node);
    }

    let mut psci = new_node("psci")?;
    set(
        &mut psci,
        "compatible",
        &["arm,psci-1.0", "arm,psci-0.2"][..],
    )?;
    set(&mut psci, "method", "smc")?;
    add_node(&mut model.root, psci);
    if let Some(cpus) = model.root.child_mut("cpus") {
        for cpu in cpus.children_mut() {
            if cpu.property("device_type").is_some() {
                set(cpu, "enable-method", "psci")?;
            }
        }
    }

    let mut chosen = model
        .root
        .remove_child("chosen")
        .map_or_else(|| new_node("chosen"), Ok)?;
    if let Some(command_line) = command_line {
        set(&mut chosen, "bootargs", command_line)?;
    }
    if !layout.initrd.is_empty() {
        set(&mut chosen, "linux,initrd-start", layout.initrd.start)?;
        set(&mut chosen, "linux,initrd-end", layout.initrd.end)?;
    }
    add_node(&mut model.root, chosen);

    let mut reserved = new_node("reserved-memory")?;
    set(&mut reserved, "#address-cells", 2_u32)?;
    set(&mut reserved, "#size-cells", 2_u32)?;
    set(&mut reserved, "ranges", Vec::<u8>::new())?;
    let carve_outs = [
        ("root", layout.root),
        ("secure", layout.secure),
        ("realm", layout.realm),
        ("shared", layout.shared),
    ];
    for (name, region) in carve_outs {
        let mut node = new_node(format!("{name}@{:x}", region.start))?;
        let two = CellCounts {
            address: 2,
            size: 2,
        };
        set(&mut node, "reg", encode(two, [region])?)?;
        set(&mut node, "no-map", Vec::<u8>::new())?;
        add_node(&mut reserved, node);
    }
    add_node(&mut model.root, reserved);
    Ok(model.to_dtb())
}

fn model_error(_: ModelError) -> MachineError {
    MachineError::Property("a name in the device tree")
}

fn new_node(name: impl Into<String>) -> Result<DeviceTreeNode, MachineError> {
    DeviceTreeNode::new(name).map_err(model_error)
}

/// Adds a child, or replaces the one of that name.
fn add_node(parent: &mut DeviceTreeNode, child: DeviceTreeNode) {
    parent.remove_child(child.name());
    parent.add_child(child);
}

fn set(
    node: &mut DeviceTreeNode,
    name: &str,
    value: impl ToPropertyValue,
) -> Result<(), MachineError> {
    let property = DeviceTreeProperty::new(name, value).map_err(model_error)?;
    node.remove_property(name);
    node.add_property(property);
    Ok(())
}

fn encode(
    cells: CellCounts,
    regions: impl IntoIterator<Item = Region>,
) -> Result<Vec<u8>, MachineError> {
    let mut bytes = Vec::new();
    for region in regions {
        for (number, count) in [(region.start, cells.address), (region.size(), cells.size)] {
            let number = number.to_be_bytes();
            let (dropped, kept) = number.split_at(8 - 4 * count);
            if dropped.iter().any(|byte| *byte != 0) {
                return Err(MachineError::Property("reg"));
            }
            bytes.extend_from_slice(kept);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::Property as _;

    use crate::granule_protection::ProtectedSpace;
    use crate::kernel_image::KernelImage;
    use crate::machine::{Machine, parse};
    use crate::region::GIB;
    use crate::test_trees::{self, TreeOptions};

    fn rewritten(memory: &[(u64, u64)], initrd: u64) -> (Machine, Layout, Vec<u8>) {
        let blob = test_trees::blob(&TreeOptions {
            memory: memory.to_vec(),
            ..TreeOptions::default()
        });
        let tree = parse(&blob).unwrap();
        let machine = Machine::from_device_tree(&tree).unwrap();
        let space = ProtectedSpace::new(48, &machine.banks, &[]).unwrap();
        let kernel = KernelImage {
            text_offset: 0,
            memory_size: 0x1000,
        };
        let here = Region::new(machine.banks[0].start, blob.len() as u64).unwrap();
        let layout = Layout::plan(&machine, &space, &here, None, &kernel, initrd).unwrap();
        let new = rewrite(&tree, &layout, &[], Some("console=ttyAMA0 quiet")).unwrap();
        (machine, layout, new)
    }

    #[test]
    fn memory_and_carve_outs_together_are_the_machine() {
        for memory in [
            &[(0x4000_0000, GIB)][..],
            &[(0x4000_0000, 64 * GIB)],
            // The carve-outs end exactly with the first node, and begin before its end.
            &[(0x4000_0000, 0x60_0000), (0x4060_0000, GIB)],
            &[
                (0x4000_0000, 0x30_0000),
                (0x4030_0000, GIB),
                (0x10_0000_0000, GIB),
            ],
            &[
                (0x4000_0000, 0x20_0000),
                (0x4020_0000, 0x40_0000),
                (0x4060_0000, GIB),
            ],
        ] {
            let (machine, layout, new) = rewritten(memory, 0);
            let tree = parse(&new).unwrap();
            let normal = Machine::from_device_tree(&tree).unwrap();
            let size = |banks: &[Region]| banks.iter().map(Region::size).sum::<u64>();
            let carve_outs = layout.carve_outs();
            assert_eq!(
                size(&normal.banks) + carve_outs.size(),
                size(&machine.banks)
            );
            assert!(normal.banks.iter().all(|bank| !bank.overlaps(&carve_outs)));
            let reserved = tree.find_node("/reserved-memory").unwrap();
            for (name, region) in [
                ("root", layout.root),
                ("secure", layout.secure),
                ("realm", layout.realm),
                ("shared", layout.shared),
            ] {
                let name = format!("{name}@{:x}", region.start);
                let node = reserved.child(&name).unwrap();
                let cells = CellCounts::of(&reserved).unwrap();
                assert_eq!(cells.regions(&node).unwrap(), [region]);
                assert_eq!(node.property("no-map").unwrap().value(), b"");
            }
        }
    }

    #[test]
    fn firmware_and_boot_parameters_are_there() {
        let (_, layout, new) = rewritten(&[(0x4000_0000, GIB)], 0x12345);
        let tree = parse(&new).unwrap();
        let value = |path: &str, name: &str| {
            let node = tree.find_node(path).unwrap();
            Vec::from(node.property(name).unwrap().value())
        };
        assert_eq!(value("/psci", "method"), b"smc\0");
        assert_eq!(
            value("/psci", "compatible"),
            b"arm,psci-1.0\0arm,psci-0.2\0"
        );
        assert_eq!(value("/chosen", "bootargs"), b"console=ttyAMA0 quiet\0");
        assert_eq!(
            value("/chosen", "linux,initrd-start"),
            layout.initrd.start.to_be_bytes()
        );
        assert_eq!(
            value("/chosen", "linux,initrd-end"),
            (layout.initrd.start + 0x12345).to_be_bytes()
        );
        // What was there before stays.
        assert_eq!(value("/chosen", "stdout-path"), b"serial0:115200n8\0");
        assert_eq!(value("/chosen", "kaslr-seed"), 0x1234_u64.to_be_bytes());
        let cpus = tree.find_node("/cpus").unwrap();
        assert_eq!(cpus.children().count(), 2);
        for cpu in cpus.children() {
            assert_eq!(cpu.property("enable-method").unwrap().value(), b"psci\0");
        }
    }

    #[test]
    fn further_memory_is_the_normal_worlds() {
        let (_, layout, old) = rewritten(&[(0x4000_0000, GIB)], 0);
        let far = Region::new(0xff_f800_0000, 0x800_0000).unwrap();
        let new = rewrite(&parse(&old).unwrap(), &layout, &[far], None).unwrap();
        let normal = Machine::from_device_tree(&parse(&new).unwrap()).unwrap();
        assert_eq!(normal.banks.last(), Some(&far));
    }

    #[test]
    fn without_a_ram_disk_none_is_announced() {
        let (_, _, new) = rewritten(&[(0x4000_0000, GIB)], 0);
        let chosen = parse(&new).unwrap();
        let chosen = chosen.find_node("/chosen").unwrap();
        assert!(chosen.property("linux,initrd-start").is_none());
    }
}
