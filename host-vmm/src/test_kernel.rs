//! Kernels for tests: the right header, and content that is none.

/// A kernel with an EFI header whose one section reaches to the end of the file.
pub(crate) struct TestKernel {
    /// Bytes of the file.
    pub(crate) file_bytes: usize,
    /// Memory that the header asks for.
    pub(crate) image_size: u64,
    /// Where it has to be after a multiple of 2 MiB.
    pub(crate) text_offset: u64,
    /// Little-endian, 4 KiB pages, anywhere, as Debian's kernels have it.
    pub(crate) flags: u64,
}

impl Default for TestKernel {
    fn default() -> Self {
        Self {
            file_bytes: 0x2345,
            image_size: 0x5000,
            text_offset: 0,
            flags: 0xa,
        }
    }
}

/// Where the EFI header is.
pub(crate) const PE_OFFSET: usize = 0x40;
/// Where the table of sections is: behind 24 bytes of header and an optional one.
pub(crate) const SECTIONS: usize = PE_OFFSET + 24 + 0x70;

impl TestKernel {
    /// The file.
    pub(crate) fn build(&self) -> Vec<u8> {
        // No two pages alike.
        let pattern = (0..=250_u8).cycle();
        let mut file: Vec<u8> = pattern.take(self.file_bytes).collect();
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0; SECTIONS + 40]);
        put(0, b"MZ");
        put(0x08, &self.text_offset.to_le_bytes());
        put(0x10, &self.image_size.to_le_bytes());
        put(0x18, &self.flags.to_le_bytes());
        put(0x38, b"ARM\x64");
        put(0x3c, &word(PE_OFFSET));
        put(PE_OFFSET, b"PE\0\0");
        put(PE_OFFSET + 4, &0xaa64_u16.to_le_bytes());
        put(PE_OFFSET + 6, &1_u16.to_le_bytes());
        put(PE_OFFSET + 20, &0x70_u16.to_le_bytes());
        // One section, from 0x200 to the end.
        put(SECTIONS, b".text\0\0\0");
        put(SECTIONS + 16, &word(self.file_bytes - 0x200));
        put(SECTIONS + 20, &0x200_u32.to_le_bytes());
        file
    }
}

/// A number of 32 bits.
fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}
