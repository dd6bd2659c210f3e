//! Disks: one that cannot be written is not, and none changes its size.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use host_vmm::devices::virtio::block::Block;
use host_vmm_fuzz::{Driver, Input};
use libfuzzer_sys::fuzz_target;

const BYTES: usize = 64 << 10;
/// The last sector is not whole.
const MORE_BYTES: usize = 100;

/// A disk for reading and one for writing, in memory where that is possible, and whether they can be
/// accessed directly.
struct Disks {
    read_only: PathBuf,
    written: PathBuf,
    direct: bool,
}

fn disks() -> &'static Disks {
    static DISKS: OnceLock<Disks> = OnceLock::new();
    DISKS.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new()
            .prefix("block")
            .tempdir_in(base)
            .unwrap();
        let folder = folder.keep();
        let (read_only, written) = (folder.join("read-only"), folder.join("written"));
        for path in [&read_only, &written] {
            fs::write(path, [0x5a; BYTES + MORE_BYTES]).unwrap();
        }
        let direct = Block::open(&read_only, true, true).is_ok();
        eprintln!("direct access: {direct}");
        Disks {
            read_only,
            written,
            direct,
        }
    })
}

/// A request: its type, its sector, and what may be written.
fn request(input: &mut Input<'_>) -> Vec<u8> {
    let kind = u32::from(input.byte() % 12);
    let sector = match input.byte() {
        0xff => input.number(8),
        byte => u64::from(byte),
    };
    let mut request = Vec::new();
    request.extend(kind.to_le_bytes());
    request.extend([0; 4]);
    request.extend(sector.to_le_bytes());
    // Mostly nothing: content has buffers of its own.
    request.extend(input.bytes());
    request
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let disks = disks();
    let how = input.byte();
    let read_only = how & 1 == 1;
    let path = if read_only {
        &disks.read_only
    } else {
        &disks.written
    };
    let block = Block::open(path, read_only, how & 2 == 2 && disks.direct).unwrap();
    Driver::new(block).run(&mut input, request, |_, _| {});
    if read_only {
        assert!(fs::read(path).unwrap().iter().all(|byte| *byte == 0x5a));
    } else {
        assert_eq!(
            fs::metadata(path).unwrap().len(),
            (BYTES + MORE_BYTES) as u64
        );
    }
});
