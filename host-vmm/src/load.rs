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
use std::sync::Arc;

use thiserror::Error;

use crate::configuration::{Configuration, Program};
use crate::device_tree::{self, DeviceTreeError, Seeds};
use crate::layout::{BLOCK_BYTES, DEVICE_TREE_BYTES, Layout, Range};

pub mod image;
mod segment;
mod source;

use image::{Image, ImageError, MAX_IMAGE_BYTES, ParseError};
use source::Source;

pub use segment::{PIECE_BYTES, Page, Piece, Pieces, Segment};

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

/// A guest before its start. What is in its files is read when it is wanted.
#[derive(Clone, Debug)]
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
#[derive(Debug)]
pub struct Sources {
    kernel: Arc<Source>,
    initrd: Option<Arc<Source>>,
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
            kernel: Arc::new(kernel),
            initrd: initrd.transpose()?.map(Arc::new),
        })
    }

    /// Lays them out. An ordinary machine gets new seeds each time; a Realm is the same each time.
    ///
    /// # Errors
    ///
    /// If a file cannot be used, if all of it does not fit into the machine's memory, or if a file is not what it
    /// was when it was opened.
    pub fn prepare(&self, configuration: &Configuration) -> Result<Prepared, LoadError> {
        let image = match configuration.program {
            Program::Kernel => kernel(&self.kernel)?,
            Program::Firmware => firmware(&self.kernel)?,
        };
        if let Some(source) = &self.initrd {
            check_initrd(source)?;
        }

        let layout = Layout::new(configuration.memory, configuration.cpus);
        let ram = layout.ram;
        let entry = ram.base + image.text_offset;
        // Sizes are bounded: none of these sums comes near 64 bits.
        let device_tree = (entry + image.memory_bytes).next_multiple_of(BLOCK_BYTES);
        let initrd_ipa = device_tree + DEVICE_TREE_BYTES;
        let initrd = self.initrd.as_ref();
        let initrd = initrd.map(|source| Segment::of_file(initrd_ipa, source));
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
        let content = |initrd: &Segment| Range::new(initrd.ipa, initrd.content_bytes());
        let initrd_content = initrd.as_ref().map(content);
        let tree = device_tree::build(configuration, &layout, initrd_content, seeds.as_ref())?;
        Ok(Prepared {
            layout,
            entry,
            kernel: Segment::of_file(entry, &self.kernel),
            device_tree: Segment::made(device_tree, tree),
            initrd,
        })
    }
}

impl Prepared {
    /// Opens the files of a machine and lays them out.
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

impl image::File for Source {
    type Error = LoadError;

    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn read_at(&self, offset: u64, room: &mut [u8]) -> Result<(), LoadError> {
        self.read_at(offset, room)
    }
}

fn kernel(source: &Source) -> Result<Image, LoadError> {
    let image = Image::parse(source).map_err(|error| match error {
        ParseError::Image(error) => LoadError::Kernel {
            path: source.path().into(),
            error,
        },
        ParseError::Read(error) => error,
    })?;
    source.check()?;
    Ok(image)
}

/// Firmware has no header that says anything.
fn firmware(source: &Source) -> Result<Image, LoadError> {
    let found = source.bytes();
    if found == 0 {
        return Err(LoadError::Empty(source.path().into()));
    }
    if found > MAX_IMAGE_BYTES {
        return Err(LoadError::FirmwareTooLarge(source.path().into()));
    }
    source.check()?;
    Ok(Image {
        text_offset: 0,
        memory_bytes: found + FIRMWARE_BESIDES_BYTES,
    })
}

fn check_initrd(source: &Source) -> Result<(), LoadError> {
    match source.bytes() {
        0 => Err(LoadError::Empty(source.path().into())),
        bytes if bytes > MAX_INITRD_BYTES => Err(LoadError::InitrdTooLarge(source.path().into())),
        _ => source.check(),
    }
}

#[cfg(test)]
mod tests;
