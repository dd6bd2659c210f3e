//! What is in a guest's memory at its start, and where.
//!
//! From the start of RAM upwards:
//!
//! | from | what |
//! |---|---|
//! | RAM + the kernel's text offset | the kernel, and behind it the memory that it takes without having content |
//! | next multiple of 2 MiB | the device tree, for which 2 MiB are kept |
//! | next multiple of 2 MiB | the initial RAM disk |
//!
//! Firmware is at the start of RAM, as it is in its file, and has at least 2 MiB behind it to
//! itself.
//!
//! This follows from the configuration and the bytes of the files alone, so it is the same on every
//! machine; both `run` and `measure` take it from here. (The one exception: the device tree of an
//! ordinary machine has random seeds. That of a Realm has none, because it is measured.)

use std::io;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::configuration::{Configuration, Program};
use crate::device_tree::{self, DeviceTreeError, Seeds};
use crate::layout::{BLOCK_BYTES, DEVICE_TREE_BYTES, Layout, PAGE_BYTES, Range};

pub mod image;
mod source;

use image::{Image, ImageError, MAX_IMAGE_BYTES};
use source::Source;

/// What is kept behind firmware, of which nothing says how much memory it takes.
pub const FIRMWARE_BESIDES_BYTES: u64 = BLOCK_BYTES;
/// Most bytes of an initial RAM disk.
pub const MAX_INITRD_BYTES: u64 = 4 << 30;

/// Why a guest's memory cannot be filled.
#[derive(Error, Debug)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Neither a file nor a pipe.
    #[error("{path}: not a file", path = .0.display())]
    NotAFile(PathBuf),
    /// What a machine is made of again is not what it was made of.
    #[error("{path}: has changed since the machine was started; start it anew", path = .0.display())]
    Changed(PathBuf),
    /// The kernel is none.
    #[error("{path}: {error}", path = path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ImageError,
    },
    /// There is nothing in it.
    #[error("{path}: empty", path = .0.display())]
    Empty(PathBuf),
    /// Larger than can be loaded.
    #[error("{path}: too large for firmware: more than {MAX_IMAGE_BYTES} bytes", path = .0.display())]
    FirmwareTooLarge(PathBuf),
    /// Larger than any is.
    #[error("{path}: too large for an initial RAM disk: more than 4 GiB", path = .0.display())]
    InitrdTooLarge(PathBuf),
    /// It does not fit.
    #[error(
        "memory is too small: {memory} MiB, and kernel, device tree and initial RAM disk alone take {needed} MiB; \
         give more with --memory"
    )]
    MemoryTooSmall {
        /// Bytes of RAM, in MiB.
        memory: u64,
        /// What would have to be there, in MiB.
        needed: u64,
    },
    /// The device tree cannot be made.
    #[error(transparent)]
    DeviceTree(#[from] DeviceTreeError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Seeds(getrandom::Error),
}

/// A part of a guest's memory that has content at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it is; a multiple of 4 KiB.
    pub ipa: u64,
    /// The content, with zeroes behind it up to a multiple of 4 KiB.
    bytes: Vec<u8>,
    /// How much of it is content.
    content_bytes: usize,
}

impl Segment {
    /// Content that goes to an address that is a multiple of 4 KiB.
    fn new(ipa: u64, mut bytes: Vec<u8>) -> Self {
        let content_bytes = bytes.len();
        bytes.resize(content_bytes.next_multiple_of(PAGE), 0);
        Self {
            ipa,
            bytes,
            content_bytes,
        }
    }

    /// Whole pages: the content, with zeroes behind it.
    pub fn pages(&self) -> &[u8] {
        &self.bytes
    }

    /// The content alone.
    pub fn content(&self) -> &[u8] {
        &self.bytes[..self.content_bytes]
    }

    /// Where its pages are.
    pub fn range(&self) -> Range {
        Range::new(self.ipa, self.bytes.len() as u64)
    }

    /// SHA-256 of the content, as `sha256sum` has it of the file.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.content()).into()
    }
}

/// A guest before its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// Its address space.
    pub layout: Layout,
    /// Where the first vCPU begins. Its X0 is the address of the device tree, X1 to X7 are zero.
    pub entry: u64,
    kernel: Segment,
    device_tree: Segment,
    initrd: Option<Segment>,
}

/// The files of a machine, which stay open, because a process that has made a machine can open nothing any more.
/// What is in them is in memory as long as the machine that was made of it.
#[derive(Debug)]
pub struct Sources {
    kernel: Source,
    initrd: Option<Source>,
}

impl Sources {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// If one cannot be opened or is no file.
    pub fn open(configuration: &Configuration) -> Result<Self, LoadError> {
        // In the order of the command line: one writer may serve two pipes.
        let kernel = Source::open(&configuration.kernel, MAX_IMAGE_BYTES + 1)?;
        let initrd = configuration.initrd.as_deref();
        let initrd = initrd.map(|path| Source::open(path, MAX_INITRD_BYTES + 1));
        Ok(Self {
            kernel,
            initrd: initrd.transpose()?,
        })
    }

    /// Reads them and lays them out. An ordinary machine gets new seeds each time; a Realm is the same each time.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, if all of it does not fit into the machine's memory, or if a file is not what it
    /// was the first time.
    pub fn prepare(&self, configuration: &Configuration) -> Result<Prepared, LoadError> {
        let (image, kernel) = match configuration.program {
            Program::Kernel => read_kernel(&self.kernel)?,
            Program::Firmware => read_firmware(&self.kernel)?,
        };
        let initrd = self.initrd.as_ref().map(read_initrd).transpose()?;

        let layout = Layout::new(configuration.memory, configuration.cpus);
        let ram = layout.ram;
        let entry = ram.base + image.text_offset;
        // Sizes are bounded: none of these sums comes near 64 bits.
        let device_tree = (entry + image.memory_bytes).next_multiple_of(BLOCK_BYTES);
        let initrd_ipa = device_tree + DEVICE_TREE_BYTES;
        let initrd = initrd.map(|bytes| Segment::new(initrd_ipa, bytes));
        let end = initrd
            .as_ref()
            .map_or(initrd_ipa, |initrd| initrd.range().end());
        if end > ram.end() {
            return Err(LoadError::MemoryTooSmall {
                memory: ram.size >> 20,
                needed: (end - ram.base).next_multiple_of(BLOCK_BYTES) >> 20,
            });
        }
        let seeds = match configuration.realm {
            Some(_) => None,
            None => Some(Seeds::random().map_err(LoadError::Seeds)?),
        };
        // Those are the file's bytes, not the whole pages.
        let content = |initrd: &Segment| Range::new(initrd.ipa, initrd.content().len() as u64);
        let initrd_content = initrd.as_ref().map(content);
        let tree = device_tree::build(configuration, &layout, initrd_content, seeds.as_ref())?;
        Ok(Prepared {
            layout,
            entry,
            kernel: Segment::new(entry, kernel),
            device_tree: Segment::new(device_tree, tree),
            initrd,
        })
    }
}

impl Prepared {
    /// Reads the files of a machine and lays them out.
    ///
    /// # Errors
    ///
    /// Those of [`Sources::open`] and [`Sources::prepare`].
    pub fn new(configuration: &Configuration) -> Result<Self, LoadError> {
        Sources::open(configuration)?.prepare(configuration)
    }

    /// The kernel, or the firmware.
    pub fn kernel(&self) -> &Segment {
        &self.kernel
    }

    /// The device tree.
    pub fn device_tree(&self) -> &Segment {
        &self.device_tree
    }

    /// The initial RAM disk.
    pub fn initrd(&self) -> Option<&Segment> {
        self.initrd.as_ref()
    }

    /// All that has content, in ascending order of addresses. All of it is measured in this order.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        [&self.kernel, &self.device_tree]
            .into_iter()
            .chain(&self.initrd)
    }

    /// X0 to X7 of the first vCPU.
    pub fn registers(&self) -> [u64; 8] {
        [self.device_tree.ipa, 0, 0, 0, 0, 0, 0, 0]
    }
}

const PAGE: usize = 4096;
const _: () = assert!(PAGE as u64 == PAGE_BYTES);

fn read_kernel(source: &Source) -> Result<(Image, Vec<u8>), LoadError> {
    let failed = |error| LoadError::Kernel {
        path: source.path().into(),
        error,
    };
    // Half a gigabyte of something else need not be read.
    let recognised = |begin: &[u8]| Image::recognise(begin).map_err(failed);
    let bytes = source.read(MAX_IMAGE_BYTES + 1, recognised)?;
    let image = Image::parse(&bytes).map_err(failed)?;
    Ok((image, bytes))
}

/// Firmware has no header that says anything.
fn read_firmware(source: &Source) -> Result<(Image, Vec<u8>), LoadError> {
    let bytes = source.read(MAX_IMAGE_BYTES + 1, |_| Ok(()))?;
    let found = bytes.len() as u64;
    if found == 0 {
        return Err(LoadError::Empty(source.path().into()));
    }
    if found > MAX_IMAGE_BYTES {
        return Err(LoadError::FirmwareTooLarge(source.path().into()));
    }
    let image = Image {
        text_offset: 0,
        memory_bytes: found + FIRMWARE_BESIDES_BYTES,
    };
    Ok((image, bytes))
}

fn read_initrd(source: &Source) -> Result<Vec<u8>, LoadError> {
    let bytes = source.read(MAX_INITRD_BYTES + 1, |_| Ok(()))?;
    if bytes.is_empty() {
        return Err(LoadError::Empty(source.path().into()));
    }
    if bytes.len() as u64 > MAX_INITRD_BYTES {
        return Err(LoadError::InitrdTooLarge(source.path().into()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
