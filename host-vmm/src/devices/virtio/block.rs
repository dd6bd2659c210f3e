//! Disks (virtio 1.2, section 5.2): a file or a block device of the host, in sectors of 512 bytes.
//!
//! Content goes through the host's page cache, or past it (`O_DIRECT`). Either way a flush has the
//! host's storage keep what was written before; a driver that knows of no flushes gets that after
//! each write. Past the page cache, the guest's blocks are as large as the host's storage wants
//! them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use tracing::debug;
use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK,
    VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN,
    VIRTIO_BLK_T_OUT,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::{Reader, Writer};
use vm_memory::GuestMemoryMmap;

use super::{Chain, Misuse, VirtioDevice, read_bytes, reader, writer};
use crate::devices::Complaints;
use crate::sys::file::{set_blocking, set_direct};

const SECTOR_BYTES: u64 = 512;
/// Type, reserved word and sector in front of each request.
const HEADER_BYTES: usize = 16;
const QUEUE_SIZE: u16 = 256;
/// Buffers of one request: the queue has to hold them with header and status.
const MAX_SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;
/// Bytes of one buffer.
const MAX_SEGMENT_BYTES: u32 = 128 << 10;
/// The same in a Realm.
const SHARED_SEGMENT_BYTES: u32 = 4 << 10;
/// Bytes of one request, so that a driver that breaks these rules does not keep the device busy.
const MAX_REQUEST_BYTES: usize = MAX_SEGMENTS as usize * MAX_SEGMENT_BYTES as usize;
/// What is copied at once.
const CHUNK_BYTES: usize = 256 << 10;
/// The largest unit of direct access, and where in memory it begins.
const MOST_UNIT: usize = 4096;
/// Capacity, largest segment, number of segments, geometry, block size.
const CONFIGURATION_BYTES: usize = 24;

/// A disk.
#[derive(Debug)]
pub struct Block {
    file: File,
    read_only: bool,
    sectors: u64,
    /// Requests begin and end at multiples of so many bytes.
    unit: u64,
    /// Buffers that one request may have, and bytes of each.
    segments: u32,
    segment_bytes: u32,
    /// The driver does not ask for what it has written to be kept.
    keep_each: bool,
    identity: [u8; VIRTIO_BLK_ID_BYTES as usize],
    chunk: Chunk,
    complaints: Complaints,
}

/// Where content is on its way, at an address that direct access takes.
#[derive(Debug)]
struct Chunk {
    memory: Box<[u8]>,
    begin: usize,
}

impl Chunk {
    fn new() -> Self {
        let memory = vec![0; CHUNK_BYTES + MOST_UNIT].into_boxed_slice();
        // Never more than the largest unit: bytes can be aligned to anything.
        let begin = memory.as_ptr().align_offset(MOST_UNIT).min(MOST_UNIT);
        Self { memory, begin }
    }

    /// So many bytes, or [`CHUNK_BYTES`].
    fn first(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.begin + bytes.min(CHUNK_BYTES);
        &mut self.memory[self.begin..end]
    }
}

/// How a request ended: the bytes of data that were written, or the status.
type Outcome = Result<usize, u32>;

impl Block {
    /// The disk in a file or block device. What is behind its last whole sector is not part of it.
    /// A disk that is written to belongs to one machine, others may be read by several. With
    /// `direct` content does not go through the host's page cache.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, if it is something else, if another machine has it, or if there is
    /// no direct access to it.
    pub fn open(path: &Path, read_only: bool, direct: bool) -> io::Result<Self> {
        Self::new(Self::open_file(path, read_only)?, read_only, direct)
    }

    /// Opens a disk's file, for [`Block::new`].
    ///
    /// # Errors
    ///
    /// As [`Block::open`].
    pub fn open_file(path: &Path, read_only: bool) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(!read_only)
            // So that a pipe is refused, and not waited for.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !kind.is_file() && !kind.is_block_device() {
            return Err(io::Error::other("neither a file nor a block device"));
        }
        let locked = if read_only {
            file.try_lock_shared()
        } else {
            file.try_lock()
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = "another machine has it";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
            }
            // Not every file system has locks.
            Err(TryLockError::Error(error)) => debug!("no lock on {}: {error}", path.display()),
        }
        Ok(file)
    }

    /// The disk in a file that [`Block::open_file`] has opened.
    ///
    /// # Errors
    ///
    /// If nothing can be known of the file, or if there is no direct access to it.
    pub fn new(mut file: File, read_only: bool, direct: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let unit = if direct {
            access_directly(&file)?
        } else {
            set_blocking(&file)?;
            SECTOR_BYTES
        };
        // The size of a block device is nowhere else.
        let size = file.seek(SeekFrom::End(0))?;
        let mut identity = [0; VIRTIO_BLK_ID_BYTES as usize];
        // Tells the disks of a machine apart, and says nothing of the host's folders.
        let text = format!("{:x}-{:x}", metadata.dev(), metadata.ino());
        let count = text.len().min(identity.len());
        identity[..count].copy_from_slice(&text.as_bytes()[..count]);
        Ok(Self {
            file,
            read_only,
            // Whole blocks.
            sectors: size / unit * (unit / SECTOR_BYTES),
            unit,
            segments: MAX_SEGMENTS,
            segment_bytes: MAX_SEGMENT_BYTES,
            keep_each: true,
            identity,
            chunk: Chunk::new(),
            complaints: Complaints::default(),
        })
    }

    /// Asks for requests that fit into so many bytes. A Realm's kernel copies all of a request into memory that it
    /// shares with the host, and waits for ever if the request is larger than all of that memory: since 6.16 it makes
    /// requests of 4 MiB where it may. So they have half of it at most. It needs room for each buffer in one piece,
    /// which is hard to find for more than a page: what a network waits for packets with lies scattered there.
    pub fn limit_requests(&mut self, shared: u64) {
        let most = shared / 2 / u64::from(SHARED_SEGMENT_BYTES);
        let most = u32::try_from(most).unwrap_or(MAX_SEGMENTS);
        self.segments = most.clamp(1, MAX_SEGMENTS);
        self.segment_bytes = SHARED_SEGMENT_BYTES;
    }

    /// Does what a request asks for.
    fn execute(&mut self, reader: &mut Reader<'_>, data: &mut Writer<'_>) -> Outcome {
        let mut header = [0; HEADER_BYTES];
        reader
            .read_exact(&mut header)
            .map_err(|_| VIRTIO_BLK_S_IOERR)?;
        let word = u64::from_le_bytes(*header.first_chunk().ok_or(VIRTIO_BLK_S_IOERR)?);
        let sector = u64::from_le_bytes(*header.last_chunk().ok_or(VIRTIO_BLK_S_IOERR)?);
        // The word behind the type is reserved.
        let kind = (word & 0xffff_ffff) as u32;
        match kind {
            VIRTIO_BLK_T_IN => {
                let bytes = data.available_bytes();
                let start = self.position(sector, bytes)?;
                let result = self.read(start, bytes, data);
                result.map_err(|error| self.failed(&error))
            }
            VIRTIO_BLK_T_OUT if self.read_only => Err(VIRTIO_BLK_S_IOERR),
            VIRTIO_BLK_T_OUT => {
                let bytes = reader.available_bytes();
                let start = self.position(sector, bytes)?;
                let mut result = self.write(start, bytes, reader);
                if self.keep_each && result.is_ok() {
                    result = self.file.sync_data().map(|()| 0);
                }
                result.map_err(|error| self.failed(&error))
            }
            VIRTIO_BLK_T_FLUSH => {
                let result = self.file.sync_data();
                result.map(|()| 0).map_err(|error| self.failed(&error))
            }
            VIRTIO_BLK_T_GET_ID => {
                let bytes = data.available_bytes().min(self.identity.len());
                let result = data.write_all(&self.identity[..bytes]);
                result.map(|()| bytes).map_err(|error| self.failed(&error))
            }
            _ => Err(VIRTIO_BLK_S_UNSUPP),
        }
    }

    /// Where a request begins in the file, if all of it is on the disk.
    fn position(&self, sector: u64, bytes: usize) -> Result<u64, u32> {
        let count = u64::try_from(bytes).map_err(|_| VIRTIO_BLK_S_IOERR)?;
        let inside = bytes <= MAX_REQUEST_BYTES
            && count.is_multiple_of(self.unit)
            && sector.is_multiple_of(self.unit / SECTOR_BYTES)
            && sector
                .checked_add(count / SECTOR_BYTES)
                .is_some_and(|end| end <= self.sectors);
        // A sector of the disk has a position in the file, so this cannot overflow.
        inside
            .then(|| sector * SECTOR_BYTES)
            .ok_or(VIRTIO_BLK_S_IOERR)
    }

    /// What the guest is told, and the operator, if the host's file could not be read or written.
    fn failed(&self, error: &io::Error) -> u32 {
        self.complaints.say("a disk", error);
        VIRTIO_BLK_S_IOERR
    }

    fn read(&mut self, start: u64, bytes: usize, data: &mut Writer<'_>) -> io::Result<usize> {
        let mut position = start;
        let mut left = bytes;
        while left > 0 {
            let chunk = self.chunk.first(left);
            let count = chunk.len();
            self.file.read_exact_at(chunk, position)?;
            data.write_all(chunk)?;
            position += count as u64;
            left -= count;
        }
        Ok(bytes)
    }

    fn write(&mut self, start: u64, bytes: usize, data: &mut Reader<'_>) -> io::Result<usize> {
        let mut position = start;
        let mut left = bytes;
        while left > 0 {
            let chunk = self.chunk.first(left);
            let count = chunk.len();
            data.read_exact(chunk)?;
            self.file.write_all_at(chunk, position)?;
            position += count as u64;
            left -= count;
        }
        Ok(0)
    }
}

impl VirtioDevice for Block {
    const ID: u32 = VIRTIO_ID_BLOCK;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        let read_only = if self.read_only {
            1 << VIRTIO_BLK_F_RO
        } else {
            0
        };
        1 << VIRTIO_BLK_F_SIZE_MAX
            | 1 << VIRTIO_BLK_F_SEG_MAX
            | 1 << VIRTIO_BLK_F_BLK_SIZE
            | 1 << VIRTIO_BLK_F_FLUSH
            | read_only
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        let mut space = [0; CONFIGURATION_BYTES];
        space[..8].copy_from_slice(&self.sectors.to_le_bytes());
        space[8..12].copy_from_slice(&self.segment_bytes.to_le_bytes());
        space[12..16].copy_from_slice(&self.segments.to_le_bytes());
        space[20..24].copy_from_slice(&self.unit.to_le_bytes()[..4]);
        read_bytes(&space, offset, data);
    }

    fn start(&mut self, features: u64) {
        self.keep_each = features >> VIRTIO_BLK_F_FLUSH & 1 == 0;
    }

    fn serve(
        &mut self,
        _queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        let mut reader = reader(memory, chain.clone())?;
        let mut data = writer(memory, chain)?;
        // The last byte that the device writes is the status.
        let mut status = data
            .available_bytes()
            .checked_sub(1)
            .and_then(|bytes| data.split_at(bytes).ok())
            .ok_or(Misuse::NoAnswer)?;
        let (written, code) = match self.execute(&mut reader, &mut data) {
            Ok(written) => (written, VIRTIO_BLK_S_OK),
            Err(code) => (0, code),
        };
        // The byte is there: it has just been split off.
        let _ = status.write_all(&code.to_le_bytes()[..1]);
        Ok(u32::try_from(written).map_or(1, |written| written + 1))
    }
}

/// Has content go past the host's page cache, and says in which units.
fn access_directly(file: &File) -> io::Result<u64> {
    let unit = set_direct(file)?;
    // Where the kernel does not say it, this is right: nothing has larger ones.
    let unit = unit.map_or(MOST_UNIT as u64, u64::from);
    if unit.is_power_of_two() && (SECTOR_BYTES..=MOST_UNIT as u64).contains(&unit) {
        Ok(unit)
    } else {
        let what = format!("no direct access: it would have to be in units of {unit} bytes");
        Err(io::Error::other(what))
    }
}

#[cfg(test)]
mod tests;
