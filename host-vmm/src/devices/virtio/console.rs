//! The console (virtio 1.2, section 5.3): one port, `hvc0` in a Linux guest.

use std::collections::VecDeque;
use std::fmt;
use std::io::{Read as _, Write};

use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use virtio_queue::{Reader, Writer};
use vm_memory::GuestMemoryMmap;

use super::{Chain, Misuse, VirtioDevice, VirtioMmio, read_bytes, reader, writer};
use crate::devices::Complaints;
use crate::devices::serial::{ConsoleOutput, InputSink};

/// The queue of what is typed.
pub const INPUT: usize = 0;
/// The queue of what is shown.
pub const OUTPUT: usize = 1;

const QUEUE_SIZE: u16 = 64;
/// What is typed while the guest does not look.
const PENDING_BYTES: usize = 4096;
/// What one chain shows at most; drivers send a page.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
const CHUNK_BYTES: usize = 4096;

/// A console.
pub struct Console {
    output: ConsoleOutput,
    pending: VecDeque<u8>,
    /// Input was refused for want of room.
    refused: bool,
    /// Called when there is room again.
    room: Box<dyn Fn() + Send>,
    complaints: Complaints,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Console {
    /// A console that shows what it is sent on `output`, and calls `room` when it takes input
    /// again after it had refused some.
    pub fn new(output: ConsoleOutput, room: Box<dyn Fn() + Send>) -> Self {
        Self {
            output,
            pending: VecDeque::new(),
            refused: false,
            room,
            complaints: Complaints::default(),
        }
    }

    fn show(&mut self, mut reader: Reader<'_>) {
        let mut left = reader.available_bytes();
        if left > MAX_OUTPUT_BYTES {
            let what = format_args!("{left} bytes at once are left out");
            self.complaints.say("the console", what);
            return;
        }
        let mut chunk = [0; CHUNK_BYTES];
        while left > 0 {
            let count = left.min(CHUNK_BYTES);
            if reader.read_exact(&mut chunk[..count]).is_err() {
                return;
            }
            // Nobody can be told that a console's output is lost. There is no second try with the
            // rest, which might wait once more for a reader when the machine is to end.
            if self.output.write_all(&chunk[..count]).is_err() {
                return;
            }
            left -= count;
        }
        let _ = self.output.flush();
    }

    fn hand_over(&mut self, mut writer: Writer<'_>) -> u32 {
        let count = writer.available_bytes().min(self.pending.len());
        let bytes: Vec<u8> = self.pending.drain(..count).collect();
        if writer.write_all(&bytes).is_err() {
            return 0;
        }
        if self.refused {
            self.refused = false;
            (self.room)();
        }
        u32::try_from(count).unwrap_or(0)
    }
}

impl VirtioDevice for Console {
    const ID: u32 = VIRTIO_ID_CONSOLE;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE, QUEUE_SIZE];

    fn features(&self) -> u64 {
        0
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&[], offset, data);
    }

    fn wants(&mut self, queue: usize) -> bool {
        queue != INPUT || !self.pending.is_empty()
    }

    fn serve(
        &mut self,
        queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        if queue == INPUT {
            return Ok(self.hand_over(writer(memory, chain)?));
        }
        self.show(reader(memory, chain)?);
        Ok(0)
    }

    fn reset(&mut self) {
        // What was typed is the operator's, not the driver's: the next one gets it.
        if std::mem::take(&mut self.refused) {
            (self.room)();
        }
    }
}

impl InputSink for VirtioMmio<Console> {
    fn push(&self, bytes: &[u8]) -> usize {
        let taken = self.with_device(|console| {
            let count = bytes.len().min(PENDING_BYTES - console.pending.len());
            console.pending.extend(&bytes[..count]);
            console.refused = count < bytes.len();
            count
        });
        self.serve(INPUT);
        taken
    }
}

#[cfg(test)]
mod tests;
