//! Disks: one that cannot be written is not, and none changes its size.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use host_vmm::devices::virtio::block::Block;
use host_vmm_fuzz::{Driver, Input};
use libfuzzer_sys::fuzz_target;

const BYTES: usize = 64 << 10;

/// Two disks, in memory where that is possible.
fn disks() -> &'static (PathBuf, PathBuf) {
    static DISKS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    DISKS.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("block").tempdir_in(base).unwrap();
        let folder = folder.keep();
        let paths = (folder.join("read-only"), folder.join("written"));
        for path in [&paths.0, &paths.1] {
            fs::write(path, [0x5a; BYTES]).unwrap();
        }
        paths
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let read_only = input.byte() & 1 == 1;
    let path = if read_only { &disks().0 } else { &disks().1 };
    let block = Block::open(path, read_only, false).unwrap();
    Driver::new(block).run(&mut input, |_, _| {});
    if read_only {
        assert!(fs::read(path).unwrap().iter().all(|byte| *byte == 0x5a));
    } else {
        assert_eq!(fs::metadata(path).unwrap().len(), BYTES as u64);
    }
});
