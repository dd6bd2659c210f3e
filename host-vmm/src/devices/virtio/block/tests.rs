// Patterns and random values may be cut.
#![allow(clippy::cast_possible_truncation)]

use std::io::Write as _;
use std::path::PathBuf;

use tempfile::{NamedTempFile, TempDir};

use super::*;
use crate::devices::virtio::tests::{Driver, INDIRECT, MEMORY, MEMORY_BYTES, NEXT, WRITE};

const HEADER: u64 = MEMORY + 0x8000;
const DATA: u64 = MEMORY + 0x1_0000;
const STATUS: u64 = MEMORY + 0x9000;

const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;
const UNTOUCHED: u8 = 0xee;

/// A disk of eight sectors, each filled with its number, and half a sector more.
fn disk() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for sector in 0..8 {
        file.write_all(&[sector; 512]).unwrap();
    }
    file.write_all(&[0x55; 256]).unwrap();
    file
}

fn driver(file: &NamedTempFile, read_only: bool) -> Driver<Block> {
    Driver::new(Block::open(file.path(), read_only, false).unwrap())
}

fn header(driver: &Driver<Block>, kind: u32, sector: u64) {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[8..].copy_from_slice(&sector.to_le_bytes());
    driver.put(HEADER, &bytes);
    driver.put(STATUS, &[UNTOUCHED]);
}

/// A request with one buffer: the status, and what is written.
fn request(
    driver: &mut Driver<Block>,
    kind: u32,
    sector: u64,
    bytes: u32,
    flags: u16,
) -> (u8, u32) {
    header(driver, kind, sector);
    let used = driver.request(
        0,
        &[(HEADER, 16, 0), (DATA, bytes, flags), (STATUS, 1, WRITE)],
    );
    (driver.get(STATUS, 1)[0], used)
}

#[test]
fn what_is_no_disk_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    crate::sys::file::tests::make_pipe(&pipe);
    for read_only in [true, false] {
        for path in [pipe.as_path(), Path::new("/dev/null")] {
            let error = Block::open(path, read_only, false).unwrap_err();
            assert_eq!(error.to_string(), "neither a file nor a block device");
        }
        Block::open(folder.path(), read_only, false).unwrap_err();
    }
}

#[test]
fn the_configuration_says_how_large_the_disk_is() {
    let file = disk();
    let driver = driver(&file, false);
    let mut data = [0; 24];
    driver
        .device
        .with_device(|disk| disk.read_configuration(0, &mut data));
    assert_eq!(data[..8], 8_u64.to_le_bytes(), "whole sectors");
    assert_eq!(data[8..12], (128_u32 << 10).to_le_bytes());
    assert_eq!(data[12..16], 254_u32.to_le_bytes());
    assert_eq!(data[16..20], [0; 4]);
    assert_eq!(data[20..], 512_u32.to_le_bytes());
}

#[test]
fn sectors_are_read() {
    let file = disk();
    let mut driver = driver(&file, true);
    let (status, used) = request(&mut driver, VIRTIO_BLK_T_IN, 3, 1024, WRITE);
    assert_eq!((status, used), (OK, 1025));
    let data = driver.get(DATA, 1025);
    assert_eq!(data[..512], [3; 512]);
    assert_eq!(data[512..1024], [4; 512]);
    assert_eq!(data[1024], 0, "nothing behind the buffer");
}

#[test]
fn sectors_are_written() {
    let file = disk();
    let mut driver = driver(&file, false);
    driver.put(DATA, &[0x77; 1024]);
    let (status, used) = request(&mut driver, VIRTIO_BLK_T_OUT, 6, 1024, 0);
    assert_eq!((status, used), (OK, 1));
    let (status, used) = request(&mut driver, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
    assert_eq!((status, used), (OK, 1));
    let content = std::fs::read(file.path()).unwrap();
    assert_eq!(content.len(), 8 * 512 + 256);
    assert_eq!(content[5 * 512..6 * 512], [5; 512]);
    assert_eq!(content[6 * 512..8 * 512], [0x77; 1024]);
    assert_eq!(content[8 * 512..], [0x55; 256]);
}

#[test]
fn a_request_may_be_in_any_pieces() {
    let file = disk();
    let mut driver = driver(&file, false);
    header(&driver, VIRTIO_BLK_T_IN, 1);
    let used = driver.request(
        0,
        &[
            (HEADER, 3, 0),
            (HEADER + 3, 13, 0),
            (DATA, 100, WRITE),
            (DATA + 100, 412, WRITE),
            (DATA + 512, 511, WRITE),
            // The last byte of the data, and the status.
            (DATA + 1023, 2, WRITE),
        ],
    );
    assert_eq!(used, 1025);
    let data = driver.get(DATA, 1025);
    assert_eq!(data[..512], [1; 512]);
    assert_eq!(data[512..1024], [2; 512]);
    assert_eq!(data[1024], OK);

    // The same as a table of its own.
    header(&driver, VIRTIO_BLK_T_IN, 7);
    let table = MEMORY + 0xa000;
    driver.descriptor_at(table, 0, (HEADER, 16, NEXT, 1));
    driver.descriptor_at(table, 1, (DATA, 512, NEXT | WRITE, 2));
    driver.descriptor_at(table, 2, (STATUS, 1, WRITE, 0));
    assert_eq!(driver.request(0, &[(table, 48, INDIRECT)]), 513);
    assert_eq!(driver.get(DATA, 512), [7; 512]);
    assert_eq!(driver.get(STATUS, 1), [OK]);
}

#[test]
fn more_than_fits_into_the_copy_is_moved() {
    let mut file = NamedTempFile::new().unwrap();
    // No two pieces alike: a sector has its number modulo a prime.
    let content: Vec<u8> = (0..600_u32 << 10)
        .map(|place| ((place >> 9) % 251) as u8)
        .collect();
    file.write_all(&content).unwrap();
    let mut driver = driver(&file, false);
    let (status, used) = request(&mut driver, VIRTIO_BLK_T_IN, 0, 600 << 10, WRITE);
    assert_eq!((status, used), (OK, (600 << 10) + 1));
    assert!(driver.get(DATA, 600 << 10) == content);
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    driver.put(DATA, &other);
    let (status, _) = request(&mut driver, VIRTIO_BLK_T_OUT, 0, 600 << 10, 0);
    assert_eq!(status, OK);
    assert!(std::fs::read(file.path()).unwrap() == other);
}

#[test]
fn what_is_not_on_the_disk_is_refused() {
    let file = disk();
    let mut driver = driver(&file, false);
    for (sector, bytes) in [
        (8, 512),
        (7, 1024),
        (0, 9 * 512),
        (u64::MAX, 512),
        (u64::MAX / 512, 512),
        // Not whole sectors.
        (0, 511),
        (0, 513),
        (0, 1),
    ] {
        for (kind, flags) in [(VIRTIO_BLK_T_IN, WRITE), (VIRTIO_BLK_T_OUT, 0)] {
            let (status, used) = request(&mut driver, kind, sector, bytes, flags);
            assert_eq!((status, used), (IOERR, 1), "{kind} {sector} {bytes}");
        }
    }
    let content = std::fs::read(file.path()).unwrap();
    assert_eq!(content[..512], [0; 512]);
    assert_eq!(content[7 * 512..8 * 512], [7; 512]);
    assert_eq!(content.len(), 8 * 512 + 256);
    // Nothing at all is a request too.
    assert_eq!(request(&mut driver, VIRTIO_BLK_T_IN, 8, 0, WRITE), (OK, 1));
}

#[test]
fn a_read_only_disk_is_not_written() {
    let file = disk();
    let mut driver = driver(&file, true);
    let features = driver.device.with_device(|disk| disk.features());
    assert_ne!(features & 1 << VIRTIO_BLK_F_RO, 0);
    driver.put(DATA, &[0x77; 512]);
    assert_eq!(
        request(&mut driver, VIRTIO_BLK_T_OUT, 0, 512, 0),
        (IOERR, 1)
    );
    assert_eq!(std::fs::read(file.path()).unwrap()[..512], [0; 512]);
}

#[test]
fn identity_and_unknown_requests() {
    let file = disk();
    let mut driver = driver(&file, false);
    let (status, used) = request(&mut driver, VIRTIO_BLK_T_GET_ID, 0, 20, WRITE);
    assert_eq!((status, used), (OK, 21));
    let identity = driver.get(DATA, 20);
    assert!(identity[0].is_ascii_hexdigit() && identity.contains(&b'-'));
    driver.put(DATA, &[UNTOUCHED; 20]);
    let (status, used) = request(&mut driver, VIRTIO_BLK_T_GET_ID, 0, 5, WRITE);
    assert_eq!((status, used), (OK, 6));
    assert_eq!(driver.get(DATA, 6)[5], UNTOUCHED);
    for kind in [2, 3, 11, 13, u32::MAX] {
        assert_eq!(request(&mut driver, kind, 0, 512, WRITE), (UNSUPP, 1));
    }
}

#[test]
fn requests_that_are_none_have_no_effect() {
    let file = disk();
    let mut driver = driver(&file, false);
    header(&driver, VIRTIO_BLK_T_OUT, 0);
    for chain in [
        // Half a header, none.
        vec![(HEADER, 15, 0), (STATUS, 1, WRITE)],
        vec![(STATUS, 1, WRITE)],
        // More than any request has, in few bytes of memory.
        vec![
            (HEADER, 16, 0),
            (MEMORY, 0x10_0000, 0),
            (MEMORY, 0x10_0000, 0),
            (MEMORY, 0x10_0000, 0),
            (STATUS, 1, WRITE),
        ],
    ] {
        driver.put(STATUS, &[UNTOUCHED]);
        let used = driver.request(0, &chain);
        assert_eq!((used, driver.get(STATUS, 1)[0]), (1, IOERR), "{chain:x?}");
    }
    assert_eq!(std::fs::read(file.path()).unwrap()[..512], [0; 512]);
}

#[test]
fn buffers_that_no_driver_may_offer_stop_the_disk() {
    let file = disk();
    let outside = MEMORY + MEMORY_BYTES - 8;
    for chain in [
        // No status.
        vec![(HEADER, 16, 0)],
        vec![(HEADER, 16, 0), (DATA, 512, 0)],
        vec![(HEADER, 16, 0), (STATUS, 0, WRITE)],
        // Buffers outside of shared memory: at its end, in private memory, at the end of all.
        vec![(outside, 16, 0), (STATUS, 1, WRITE)],
        vec![(HEADER & 0xffff_ffff, 16, 0), (STATUS, 1, WRITE)],
        vec![(HEADER, 16, 0), (u64::MAX - 3, 512, 0), (STATUS, 1, WRITE)],
        vec![(HEADER, 16, 0), (DATA, u32::MAX, 0), (STATUS, 1, WRITE)],
    ] {
        let mut driver = driver(&file, false);
        header(&driver, VIRTIO_BLK_T_OUT, 0);
        driver.misuse(0, &chain);
        assert_eq!(driver.get(STATUS, 1)[0], UNTOUCHED, "{chain:x?}");
        // It works again after a reset.
        driver.start(0);
        assert_eq!(
            request(&mut driver, VIRTIO_BLK_T_IN, 2, 512, WRITE),
            (OK, 513)
        );
    }
    assert_eq!(std::fs::read(file.path()).unwrap()[..512], [0; 512]);
}

#[test]
fn a_request_has_a_largest_size() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 30).unwrap();
    let disk = Block::open(file.path(), false, false).unwrap();
    assert_eq!(disk.position(1, MAX_REQUEST_BYTES), Ok(512));
    assert_eq!(
        disk.position(1, MAX_REQUEST_BYTES + 512),
        Err(VIRTIO_BLK_S_IOERR)
    );
}

#[test]
fn a_realms_requests_fit_into_what_it_shares() {
    let file = disk();
    let mut disk = Block::open(file.path(), false, false).unwrap();
    for (shared, segments) in [
        (4 << 20, 254_u32),
        (1 << 20, 128),
        // One has to be there.
        (0, 1),
        (u64::MAX, 254),
    ] {
        disk.limit_requests(shared);
        let mut data = [0; 8];
        disk.read_configuration(8, &mut data);
        let [size, count] =
            [&data[..4], &data[4..]].map(|field| u32::from_le_bytes(field.try_into().unwrap()));
        assert_eq!((size, count), (4096, segments));
        assert!(shared == 0 || u64::from(size * count) <= shared / 2);
    }
}

#[test]
fn a_file_that_has_shrunk_is_an_error_of_the_disk() {
    let file = disk();
    let mut driver = driver(&file, false);
    file.as_file().set_len(512).unwrap();
    assert_eq!(
        request(&mut driver, VIRTIO_BLK_T_IN, 0, 512, WRITE),
        (OK, 513)
    );
    assert_eq!(
        request(&mut driver, VIRTIO_BLK_T_IN, 1, 512, WRITE),
        (IOERR, 1)
    );
}

#[test]
fn what_is_no_disk_cannot_be_opened() {
    let folder = TempDir::new().unwrap();
    let open = |path: PathBuf| Block::open(&path, true, false).unwrap_err().kind();
    assert_eq!(open(folder.path().into()), io::ErrorKind::IsADirectory);
    assert_eq!(open(folder.path().join("absent")), io::ErrorKind::NotFound);
}

#[test]
fn a_disk_that_is_written_belongs_to_one_machine() {
    let file = disk();
    let busy = |read_only| match Block::open(file.path(), read_only, false) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ResourceBusy,
    };
    let writer = Block::open(file.path(), false, false).unwrap();
    assert!(busy(false) && busy(true));
    drop(writer);
    let _reader = Block::open(file.path(), true, false).unwrap();
    assert!(busy(false));
    assert!(!busy(true));
}

#[test]
fn direct_access_is_in_whole_blocks() {
    // Where temporary files are need not be a disk.
    let folder = std::env::current_exe().unwrap();
    let mut file = NamedTempFile::new_in(folder.parent().unwrap()).unwrap();
    let content: Vec<u8> = (0..300_u32 << 10)
        .map(|place| ((place >> 9) % 251) as u8)
        .collect();
    file.write_all(&content).unwrap();
    file.write_all(&[0x55; 600]).unwrap();
    file.as_file().sync_all().unwrap();
    let block = match Block::open(file.path(), false, true) {
        Ok(block) => block,
        Err(error) => {
            assert!(
                error.to_string().starts_with("no direct access: "),
                "{error}"
            );
            return;
        }
    };
    let unit = block.unit as u32;
    assert!(matches!(unit, 512 | 1024 | 2048 | 4096), "{unit}");
    assert_eq!(block.sectors % u64::from(unit / 512), 0);
    assert!(block.sectors >= 600);
    let mut driver = Driver::new(block);
    let mut space = [0; 4];
    driver
        .device
        .with_device(|disk| disk.read_configuration(20, &mut space));
    assert_eq!(u32::from_le_bytes(space), unit, "the guest's blocks");
    let most = 300 << 10;
    let (status, _) = request(&mut driver, VIRTIO_BLK_T_IN, 0, most, WRITE);
    assert_eq!(status, OK);
    assert!(driver.get(DATA, most as usize) == content);
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    driver.put(DATA, &other);
    // From any address of the guest's memory.
    header(&driver, VIRTIO_BLK_T_OUT, 8);
    driver.request(
        0,
        &[(HEADER, 16, 0), (DATA + 1, 8192, 0), (STATUS, 1, WRITE)],
    );
    assert_eq!(driver.get(STATUS, 1), [OK]);
    assert_eq!(request(&mut driver, VIRTIO_BLK_T_FLUSH, 0, 0, 0).0, OK);
    let seen = std::fs::read(file.path()).unwrap();
    assert!(seen[4096..4096 + 8192] == other[1..8193]);
    assert!(seen[4096 + 8192..most as usize] == content[4096 + 8192..]);
    if unit > 512 {
        assert_eq!(
            request(&mut driver, VIRTIO_BLK_T_IN, 0, 512, WRITE).0,
            IOERR
        );
        assert_eq!(
            request(&mut driver, VIRTIO_BLK_T_IN, 1, unit, WRITE).0,
            IOERR
        );
    }
}

#[test]
fn blocks_may_be_larger_than_sectors() {
    let file = disk();
    let mut disk = Block::open(file.path(), false, false).unwrap();
    disk.unit = 1024;
    for (sector, bytes, expected) in [
        (0, 1024, Ok(0)),
        (2, 3072, Ok(1024)),
        (0, 512, Err(VIRTIO_BLK_S_IOERR)),
        (1, 1024, Err(VIRTIO_BLK_S_IOERR)),
        (6, 2048, Err(VIRTIO_BLK_S_IOERR)),
    ] {
        assert_eq!(disk.position(sector, bytes), expected, "{sector} {bytes}");
    }
    let begin = disk.chunk.first(1 << 20);
    assert_eq!(begin.len(), CHUNK_BYTES);
    assert!((begin.as_ptr() as usize).is_multiple_of(4096));
}

#[test]
fn a_driver_without_flushes_has_each_write_kept() {
    let file = disk();
    let mut driver = driver(&file, false);
    assert!(driver.device.with_device(|disk| disk.keep_each));
    driver.put(DATA, &[0x77; 512]);
    assert_eq!(request(&mut driver, VIRTIO_BLK_T_OUT, 0, 512, 0), (OK, 1));
    driver.start(1 << VIRTIO_BLK_F_FLUSH);
    assert!(!driver.device.with_device(|disk| disk.keep_each));
    assert_eq!(request(&mut driver, VIRTIO_BLK_T_OUT, 0, 512, 0), (OK, 1));
}
