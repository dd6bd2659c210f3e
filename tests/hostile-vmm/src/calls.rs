//! The calls of `/dev/realm`: their numbers, and arguments that are right unless somebody changes them.

use crate::random::Random;
use crate::sys::{self, Descriptor, Errno};

const fn request(direction: u32, number: u32, size: u32) -> u32 {
    direction << 30 | size << 16 | 0xae << 8 | number
}

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// A call: its name, and its request number with the size of its structure.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) request: u32,
}

macro_rules! calls {
    ($($constant:ident = $direction:expr, $number:literal, $size:literal;)*) => {
        $(pub(crate) const $constant: Call = Call {
            name: stringify!($constant),
            request: request($direction, $number, $size),
        };)*
        /// All of them.
        pub(crate) const ALL: &[Call] = &[$($constant),*];
    };
}

calls! {
    GET_API_VERSION = NONE, 0x00, 0;
    CREATE_VM = NONE, 0x01, 0;
    CHECK_EXTENSION = NONE, 0x03, 0;
    GET_VCPU_MMAP_SIZE = NONE, 0x04, 0;
    CREATE_VCPU = NONE, 0x41, 0;
    SET_USER_MEMORY_REGION = WRITE, 0x46, 32;
    SET_USER_MEMORY_REGION2 = WRITE, 0x49, 160;
    IRQ_LINE = WRITE, 0x61, 8;
    IRQFD = WRITE, 0x76, 32;
    IOEVENTFD = WRITE, 0x79, 64;
    RUN = NONE, 0x80, 0;
    GET_ONE_REG = WRITE, 0xab, 16;
    SET_ONE_REG = WRITE, 0xac, 16;
    ARM_VCPU_INIT = WRITE, 0xae, 32;
    ARM_PREFERRED_TARGET = READ, 0xaf, 32;
    SET_MEMORY_ATTRIBUTES = WRITE, 0xd2, 32;
    CREATE_GUEST_MEMFD = READ | WRITE, 0xd4, 64;
    VCPU_RMI_PSCI_COMPLETE = WRITE, 0xd6, 24;
    RMI_POPULATE = READ | WRITE, 0xd7, 32;
    CREATE_DEVICE = READ | WRITE, 0xe0, 12;
    SET_DEVICE_ATTR = WRITE, 0xe1, 24;
    GET_DEVICE_ATTR = WRITE, 0xe2, 24;
    HAS_DEVICE_ATTR = WRITE, 0xe3, 24;
    CONFIGURE = WRITE, 0xf0, 80;
    INFORMATION = READ, 0xf1, 48;
    STATISTICS = READ, 0xf2, 64;
    RMM_STATISTICS = READ | WRITE, 0xf3, 48;
}

/// What the module says of itself, as far as it matters here.
#[derive(Clone, Copy)]
pub(crate) struct Information {
    pub(crate) realms: u64,
    pub(crate) pages_delegated: u64,
    pub(crate) pages_lost: u64,
}

/// Asks the module.
pub(crate) fn information(device: Descriptor) -> Result<Information, Errno> {
    let arena = sys::Arena::new().map_err(|_| libc::ENOMEM)?;
    sys::ioctl(device, INFORMATION.request, arena.address(0))?;
    let mut bytes = [0; 48];
    arena.read(0, &mut bytes);
    let words = bytes.as_chunks::<8>().0;
    let word = |index: usize| u64::from_le_bytes(words[index]);
    Ok(Information {
        realms: word(2),
        pages_delegated: word(4),
        pages_lost: word(5),
    })
}

/// A structure in the making: fields one after the other.
#[derive(Default)]
pub(crate) struct Fields(pub(crate) Vec<u8>);

impl Fields {
    pub(crate) fn word(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn half(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn zeroes(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// Changes a field, once in so many times.
    pub(crate) fn spoil(mut self, random: &mut Random, times: u64) -> Self {
        if random.one_in(times) && !self.0.is_empty() {
            let field = usize::try_from(random.below(self.0.len().div_ceil(8) as u64)).unwrap_or(0);
            let value = random.word().to_le_bytes();
            for (byte, new) in self.0.iter_mut().skip(8 * field).zip(value) {
                *byte = new;
            }
        }
        self
    }
}
