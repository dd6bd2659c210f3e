use std::fs::{self, File};

use tempfile::TempDir;

use super::*;
use crate::configuration::{CpuCount, MemorySize, RealmOptions};
use crate::layout::PAGE_BYTES;
use crate::test_kernel::TestKernel;

/// A folder with a kernel and an initial RAM disk, and a machine of them.
struct Files {
    folder: TempDir,
    configuration: Configuration,
}

impl Files {
    fn new(kernel: &[u8], initrd: Option<&[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        let kernel_path = folder.path().join("kernel");
        let initrd_path = folder.path().join("initrd");
        fs::write(&kernel_path, kernel).unwrap();
        if let Some(initrd) = initrd {
            fs::write(&initrd_path, initrd).unwrap();
        }
        let configuration = Configuration {
            realm: Some(RealmOptions::default()),
            initrd: initrd.map(|_| initrd_path),
            memory: MemorySize::new(16 << 20).unwrap(),
            cpus: CpuCount::new(2).unwrap(),
            ..Configuration::new(kernel_path)
        };
        Self {
            folder,
            configuration,
        }
    }

    fn plain() -> Self {
        Self::new(&TestKernel::default().build(), Some(&[7; 5000]))
    }

    fn prepared(&self) -> Prepared {
        Prepared::new(&self.configuration).unwrap()
    }

    /// All of it, to compare.
    fn whole(&self) -> Whole {
        whole(&self.prepared())
    }

    fn error(&self) -> LoadError {
        Prepared::new(&self.configuration).unwrap_err()
    }
}

/// Address space, entry, and address and content of the segments.
type Whole = (Layout, u64, Vec<(u64, Vec<u8>)>);

fn whole(prepared: &Prepared) -> Whole {
    let segments = prepared.segments();
    let segments = segments.map(|segment| (segment.ipa, segment.content()));
    (prepared.layout, prepared.entry, segments.collect())
}

#[test]
fn content_is_where_the_table_says() {
    let files = Files::plain();
    let prepared = files.prepared();
    assert_eq!(prepared.entry, 0x8000_0000);
    assert_eq!(prepared.registers(), [0x8020_0000, 0, 0, 0, 0, 0, 0, 0]);
    let addresses: Vec<_> = prepared.segments().map(|segment| segment.ipa).collect();
    assert_eq!(addresses, [0x8000_0000, 0x8020_0000, 0x8040_0000]);
    let kernel = fs::read(&files.configuration.kernel).unwrap();
    assert_eq!(prepared.kernel().content(), kernel);
    let initrd = prepared.initrd().unwrap();
    assert_eq!(initrd.content(), [7; 5000]);
    assert_eq!(initrd.range(), Range::new(0x8040_0000, 8192));
    // The device tree has the end of the file, not that of its last page.
    let tree = prepared.device_tree().content();
    let ends = |end: u64| tree.windows(8).any(|bytes| bytes == end.to_be_bytes());
    assert!(ends(0x8040_0000 + 5000) && !ends(0x8040_0000 + 8192));
}

#[test]
fn the_kernel_keeps_its_offset_and_the_memory_behind_it() {
    let kernel = TestKernel {
        text_offset: 0x8_0000,
        image_size: 0x18_0001,
        ..TestKernel::default()
    };
    let prepared = Files::new(&kernel.build(), None).prepared();
    assert_eq!(prepared.entry, 0x8008_0000);
    // One byte more than what is left of the block.
    assert_eq!(prepared.device_tree().ipa, 0x8040_0000);
    assert!(prepared.initrd().is_none());
}

#[test]
fn segments_are_whole_pages_in_order_and_apart_whatever_the_sizes() {
    for file_bytes in [0x200, 0x1000, 0x1001, 0x1f_ffff] {
        for text_offset in [0, 0x1f_f000] {
            for image_size in [1, 0x20_0000, 0x3f_ffff] {
                for initrd_bytes in [1, 4096, 4097] {
                    let kernel = TestKernel {
                        file_bytes,
                        image_size,
                        text_offset,
                        ..TestKernel::default()
                    };
                    let files = Files::new(&kernel.build(), Some(&vec![1; initrd_bytes]));
                    check_segments(&files.prepared(), image_size.max(file_bytes as u64));
                }
            }
        }
    }
}

fn check_segments(prepared: &Prepared, image_bytes: u64) {
    let ram = prepared.layout.ram;
    let kernel = Range::new(prepared.entry, image_bytes);
    let tree = Range::new(prepared.device_tree().ipa, DEVICE_TREE_BYTES);
    assert!(tree.base.is_multiple_of(BLOCK_BYTES));
    assert!(tree.end() - kernel.base <= 512 << 20);
    assert!(!kernel.overlaps(tree));
    let mut end = ram.base;
    for segment in prepared.segments() {
        let range = segment.range();
        assert!(range.base.is_multiple_of(PAGE_BYTES) && range.size.is_multiple_of(PAGE_BYTES));
        assert!(range.base >= end && range.end() <= ram.end() && range.size > 0);
        assert!(range.size - segment.content_bytes() < PAGE_BYTES);
        end = range.end();
    }
    let initrd = prepared.initrd().unwrap().range();
    assert!(!initrd.overlaps(kernel) && !initrd.overlaps(tree));
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let files = Files::plain();
    assert_eq!(files.whole(), files.whole());
    let sources = Sources::open(&files.configuration).unwrap();
    let before = sources.prepare(&files.configuration).unwrap();
    assert_eq!(whole(&before), files.whole());
    let before = whole(&before);
    // Others may be where they were: these are still open.
    for name in ["kernel", "initrd"] {
        let path = files.folder.path().join(name);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"another").unwrap();
    }
    let again = sources.prepare(&files.configuration).unwrap();
    assert_eq!(whole(&again), before);
}

#[test]
fn what_has_changed_is_not_loaded_again() {
    for name in ["kernel", "initrd"] {
        let files = Files::plain();
        let path = files.folder.path().join(name);
        let sources = Sources::open(&files.configuration).unwrap();
        sources.prepare(&files.configuration).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        // As many bytes as before, later.
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_modified(modified + std::time::Duration::from_millis(20))
            .unwrap();
        let error = sources.prepare(&files.configuration).unwrap_err();
        assert!(matches!(error, LoadError::Changed(found) if found == path));
        // More bytes at the same time.
        file.set_len(1 << 20).unwrap();
        file.set_modified(modified).unwrap();
        let error = sources.prepare(&files.configuration).unwrap_err();
        assert!(matches!(error, LoadError::Changed(found) if found == path));
    }
}

#[test]
fn a_pipe_is_read_once_and_loaded_each_time() {
    let mut files = Files::plain();
    let expected = files.whole();
    let kernel = fs::read(&files.configuration.kernel).unwrap();
    let pipes = ["kernel-pipe", "initrd-pipe"].map(|name| files.folder.path().join(name));
    let made = std::process::Command::new("mkfifo").args(&pipes).status();
    assert!(made.unwrap().success());
    let [kernel_pipe, initrd_pipe] = pipes;
    files.configuration.kernel.clone_from(&kernel_pipe);
    files.configuration.initrd = Some(initrd_pipe.clone());
    // One after the other, as a shell does it.
    let writer = std::thread::spawn(move || {
        fs::write(kernel_pipe, kernel)?;
        fs::write(initrd_pipe, [7; 5000])
    });
    let sources = Sources::open(&files.configuration).unwrap();
    for _ in 0..3 {
        let prepared = sources.prepare(&files.configuration).unwrap();
        assert_eq!(whole(&prepared), expected);
    }
    writer.join().unwrap().unwrap();
}

/// As those of /proc, which are made up while they are read.
#[test]
fn a_file_that_says_that_it_is_empty_is_read() {
    let mut files = Files::plain();
    let path = std::path::Path::new("/proc/version");
    assert_eq!(fs::metadata(path).unwrap().len(), 0);
    files.configuration.kernel = path.into();
    files.configuration.program = Program::Firmware;
    let content = fs::read(path).unwrap();
    assert_eq!(files.prepared().kernel().content(), content);
    files.configuration.initrd = Some(path.into());
    assert_eq!(files.prepared().initrd().unwrap().content(), content);
}

#[test]
fn an_ordinary_machine_has_new_seeds_each_time() {
    let mut files = Files::plain();
    files.configuration.realm = None;
    let sources = Sources::open(&files.configuration).unwrap();
    let before = sources.prepare(&files.configuration).unwrap();
    let prepared = sources.prepare(&files.configuration).unwrap();
    assert_ne!(
        prepared.device_tree().content(),
        before.device_tree().content()
    );
    assert_eq!(prepared.device_tree().ipa, before.device_tree().ipa);
    assert_eq!(prepared.kernel().content(), before.kernel().content());
}

#[test]
fn memory_has_to_hold_all_of_it_and_need_not_hold_more() {
    let mut files = Files::plain();
    files.configuration.memory = MemorySize::new(6 << 20).unwrap();
    files.prepared();
    files.configuration.memory = MemorySize::new(4 << 20).unwrap();
    let error = files.error();
    let LoadError::MemoryTooSmall { memory, needed } = error else {
        panic!("{error}");
    };
    assert_eq!((memory, needed), (4, 6));
}

#[test]
fn firmware_is_loaded_as_it_is() {
    let mut files = Files::plain();
    let path = files.folder.path().join("firmware");
    files.configuration.kernel.clone_from(&path);
    files.configuration.program = Program::Firmware;
    for (bytes, tree) in [
        (1, 0x8040_0000),
        (5000, 0x8040_0000),
        (2 << 20, 0x8040_0000),
        ((2 << 20) + 1, 0x8060_0000),
    ] {
        fs::write(&path, vec![9; bytes]).unwrap();
        let prepared = files.prepared();
        assert_eq!(prepared.entry, 0x8000_0000);
        assert_eq!(prepared.registers(), [tree, 0, 0, 0, 0, 0, 0, 0], "{bytes}");
        assert_eq!(prepared.kernel().ipa, 0x8000_0000);
        assert!(prepared.kernel().content() == vec![9; bytes]);
        assert_eq!(prepared.initrd().unwrap().ipa, tree + 0x20_0000);
    }
    fs::write(&path, []).unwrap();
    assert!(matches!(files.error(), LoadError::Empty(found) if found == path));
    File::create(&path)
        .unwrap()
        .set_len(MAX_IMAGE_BYTES + 1)
        .unwrap();
    assert!(matches!(files.error(), LoadError::FirmwareTooLarge(found) if found == path));
    fs::remove_file(&path).unwrap();
    assert!(matches!(files.error(), LoadError::Read { .. }));
}

#[test]
fn files_that_cannot_be_used() {
    let mut files = Files::plain();
    let missing = files.folder.path().join("missing");
    let folder = files.folder.path().to_owned();

    files.configuration.initrd = Some(missing.clone());
    assert!(matches!(files.error(), LoadError::Read { path, .. } if path == missing));
    files.configuration.initrd = Some(folder.clone());
    assert!(matches!(files.error(), LoadError::NotAFile(path) if path == folder));
    files.configuration.initrd = Some("/dev/zero".into());
    assert!(matches!(files.error(), LoadError::NotAFile(_)));
    let empty = files.folder.path().join("empty");
    fs::write(&empty, []).unwrap();
    files.configuration.initrd = Some(empty.clone());
    assert!(matches!(files.error(), LoadError::Empty(path) if path == empty));
    let huge = files.folder.path().join("huge");
    File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    files.configuration.kernel = huge.clone();
    let error = files.error();
    assert!(matches!(
        error,
        LoadError::Kernel { path, error: ImageError::NotAKernel } if path == huge
    ));
}
