//! Parts of a guest's memory that have content, and how that is got there: some of it at a time, so that
//! nobody needs memory for all of it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout};

use super::LoadError;
use super::source::Source;
use crate::layout::{BLOCK_BYTES, PAGE_BYTES, Range};

/// Most bytes of a piece. A caller who gives way to others does so between two of them at the latest: the
/// kernel copies one without a pause.
pub const PIECE_BYTES: u64 = 256 << 10;

const _: () = assert!(BLOCK_BYTES.is_multiple_of(PIECE_BYTES));

/// A page, where kernels want to find one.
#[repr(C, align(4096))]
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Page(pub [u8; 4096]);

const _: () = assert!(size_of::<Page>() as u64 == PAGE_BYTES);

/// A part of a guest's memory that has content at its start.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Where it is; a multiple of 4 KiB.
    pub ipa: u64,
    content: Content,
    /// How much there is of it.
    content_bytes: u64,
}

#[derive(Clone, Debug)]
enum Content {
    /// What is in a file.
    File(Arc<Source>),
    /// Something else.
    Made(Vec<u8>),
}

impl Segment {
    /// A file's content that goes to an address that is a multiple of 4 KiB.
    pub(super) fn of_file(ipa: u64, source: &Arc<Source>) -> Self {
        Self {
            ipa,
            content_bytes: source.bytes(),
            content: Content::File(Arc::clone(source)),
        }
    }

    /// Content that goes to an address that is a multiple of 4 KiB.
    pub(super) fn made(ipa: u64, bytes: Vec<u8>) -> Self {
        Self {
            ipa,
            content_bytes: bytes.len() as u64,
            content: Content::Made(bytes),
        }
    }

    /// How many bytes its content has.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Where its pages are.
    pub fn range(&self) -> Range {
        Range::new(self.ipa, self.content_bytes.next_multiple_of(PAGE_BYTES))
    }

    /// All of it, from lower to higher addresses.
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces {
            segment: self,
            room: Vec::new(),
            done: 0,
        }
    }

    /// SHA-256 of the content, as `sha256sum` has it of the file.
    ///
    /// # Errors
    ///
    /// Those of [`Pieces::next`].
    pub fn sha256(&self) -> Result<[u8; 32], LoadError> {
        let mut hash = Sha256::new();
        let mut pieces = self.pieces();
        while let Some(piece) = pieces.next()? {
            hash.update(piece.content());
        }
        Ok(hash.finalize().into())
    }

    /// The content as a whole.
    #[cfg(test)]
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.content_bytes).unwrap()];
        self.read(0, &mut content).unwrap();
        content
    }

    fn read(&self, offset: u64, room: &mut [u8]) -> Result<(), LoadError> {
        match &self.content {
            Content::File(source) => source.read_at(offset, room),
            Content::Made(bytes) => {
                // Below the length of what is in memory.
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                room.copy_from_slice(&bytes[from..][..room.len()]);
                Ok(())
            }
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        match &self.content {
            Content::File(source) => source.check(),
            Content::Made(_) => Ok(()),
        }
    }
}

/// The content of a [`Segment`], piece by piece.
#[derive(Debug)]
pub struct Pieces<'a> {
    segment: &'a Segment,
    room: Vec<Page>,
    /// Bytes of content that were in pieces.
    done: u64,
}

/// Up to [`PIECE_BYTES`] that are next to each other in memory, in one block of 2 MiB.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Where it is.
    pub ipa: u64,
    /// Whole pages: the content, with zeroes behind it.
    pub pages: &'a [Page],
    content_bytes: usize,
}

impl Piece<'_> {
    /// The content alone.
    pub fn content(&self) -> &[u8] {
        &self.pages.as_bytes()[..self.content_bytes]
    }
}

impl Pieces<'_> {
    /// The next one. Behind the last one there is nothing if all of them were good.
    ///
    /// # Errors
    ///
    /// Those of reading, or that a file is not what it was when the machine was started.
    #[expect(
        clippy::should_implement_trait,
        reason = "a piece is good until the next one is read"
    )]
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, LoadError> {
        let left = self.segment.content_bytes - self.done;
        if left == 0 {
            self.segment.check()?;
            return Ok(None);
        }
        let ipa = self.segment.ipa + self.done;
        let bytes = left.min(PIECE_BYTES - ipa % PIECE_BYTES);
        // At most `PIECE_BYTES`.
        let content_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let pages = content_bytes.div_ceil(size_of::<Page>());
        if self.room.len() < pages {
            self.room.resize_with(pages, Page::new_zeroed);
        }
        let pages = &mut self.room[..pages];
        let (content, behind) = pages.as_mut_bytes().split_at_mut(content_bytes);
        self.segment.read(self.done, content)?;
        behind.fill(0);
        self.done += bytes;
        Ok(Some(Piece {
            ipa,
            pages,
            content_bytes,
        }))
    }
}

#[cfg(test)]
mod tests;
