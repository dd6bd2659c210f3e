use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

const RAM: u64 = 0x8000_0000;
const BLOCK: usize = 2 << 20;
const PIECE: usize = 256 << 10;

/// No two pages of it are alike, and no byte is 0.
fn bytes(count: usize) -> Vec<u8> {
    (1..=251_u8).cycle().take(count).collect()
}

/// A file of so many bytes, as a source.
fn source(folder: &Path, count: usize) -> (PathBuf, Arc<Source>) {
    let path = folder.join("file");
    fs::write(&path, bytes(count)).unwrap();
    let source = Source::open(&path, u64::MAX).unwrap();
    (path, Arc::new(source))
}

#[test]
fn pieces_are_the_whole_of_it_in_order() {
    let folder = TempDir::new().unwrap();
    for offset in [0, 0x1000, 0x1f_f000] {
        for count in [
            1,
            4096,
            4097,
            PIECE,
            BLOCK - 4096,
            BLOCK,
            BLOCK + 1,
            3 * BLOCK + 5000,
        ] {
            let (_, file) = source(folder.path(), count);
            let base = RAM + offset;
            for segment in [
                Segment::of_file(base, &file),
                Segment::made(base, bytes(count)),
            ] {
                let mut found = Vec::new();
                let mut pages = 0;
                let mut end = base;
                let mut pieces = segment.pieces();
                while let Some(piece) = pieces.next().unwrap() {
                    assert_eq!(piece.ipa, end);
                    end += size_of_val(piece.pages) as u64;
                    assert_eq!(piece.ipa / PIECE_BYTES, (end - 1) / PIECE_BYTES);
                    pages += piece.pages.len();
                    found.extend(piece.content());
                    let behind = &piece.pages.as_bytes()[piece.content().len()..];
                    // Not what was in the piece before.
                    assert!(behind.len() < 4096 && behind.iter().all(|byte| *byte == 0));
                }
                assert!(pieces.next().unwrap().is_none());
                assert!(found == bytes(count) && found == segment.content());
                assert_eq!(segment.content_bytes(), count as u64);
                assert_eq!(segment.range(), Range::new(base, end - base));
                assert_eq!(pages, count.div_ceil(4096));
                let expected: [u8; 32] = Sha256::digest(&found).into();
                assert_eq!(segment.sha256().unwrap(), expected);
            }
        }
    }
}

#[test]
fn nobody_needs_memory_for_all_of_it() {
    let folder = TempDir::new().unwrap();
    let (_, file) = source(folder.path(), 5 * BLOCK);
    let segment = Segment::of_file(RAM, &file);
    let mut pieces = segment.pieces();
    let mut count = 0;
    while pieces.next().unwrap().is_some() {
        assert!(pieces.room.len() <= PIECE / 4096);
        count += 1;
    }
    assert_eq!(count, 5 * BLOCK / PIECE);
    let (_, small) = source(folder.path(), 5000);
    let segment = Segment::of_file(RAM, &small);
    let mut pieces = segment.pieces();
    pieces.next().unwrap();
    assert_eq!(pieces.room.len(), 2);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_no_content() {
    let folder = TempDir::new().unwrap();
    let changed = |result: Result<(), LoadError>, path: &Path| matches!(result, Err(LoadError::Changed(found)) if found == path);
    let rest = |pieces: &mut Pieces<'_>| {
        while pieces.next()?.is_some() {}
        Ok(())
    };
    let open = |path: &Path| OpenOptions::new().write(true).open(path).unwrap();

    let (path, file) = source(folder.path(), 2 * BLOCK);
    let segment = Segment::of_file(RAM, &file);
    let mut pieces = segment.pieces();
    pieces.next().unwrap();
    open(&path).set_len(BLOCK as u64 + 1).unwrap();
    assert!(changed(rest(&mut pieces), &path));

    // Longer than it was, and what was there before is the same.
    let (path, file) = source(folder.path(), 2 * BLOCK);
    let segment = Segment::of_file(RAM, &file);
    let mut pieces = segment.pieces();
    pieces.next().unwrap();
    open(&path).set_len(3 * BLOCK as u64).unwrap();
    assert!(changed(rest(&mut pieces), &path));
    assert!(changed(segment.sha256().map(drop), &path));

    // As long as it was.
    let (path, file) = source(folder.path(), 2 * BLOCK);
    let segment = Segment::of_file(RAM, &file);
    let mut pieces = segment.pieces();
    pieces.next().unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let later = modified + std::time::Duration::from_millis(20);
    open(&path).set_modified(later).unwrap();
    assert!(changed(rest(&mut pieces), &path));
}
