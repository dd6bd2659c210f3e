//! The registers of a virtio device in memory (virtio 1.2, section 4.2), and the serving of its
//! queues.
//!
//! A vCPU that looks at the interrupt status or notifies a queue never waits for a request in
//! progress: both work without the lock that is held while a queue is served. Everything else is
//! rare, and a reset *must* wait, because the guest has its buffers back afterwards.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use thiserror::Error;
use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FAILED, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
    VIRTIO_F_ACCESS_PLATFORM,
};
use virtio_bindings::bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL,
    VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING, VIRTIO_MMIO_INTERRUPT_ACK,
    VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
    VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_DESC_LOW,
    VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_NUM_MAX,
    VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_HIGH,
    VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_LEN_LOW,
    VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VERSION,
};
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Error as QueueError, Queue, QueueOwnedT as _, QueueT as _};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{COMMON_FEATURES, Chain, Misuse, NEEDED_FEATURES, Source, VirtioDevice};
use crate::devices::{Complaints, InterruptLine, MmioDevice, lock};

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"clst");

/// What is moved for a queue at once, if that is several chains. A reset waits for so much.
const MOST_BYTES: u64 = 32 << 20;

/// The bits that a driver sets on its way up, in this order.
const STEPS: [u32; 4] = [
    VIRTIO_CONFIG_S_ACKNOWLEDGE,
    VIRTIO_CONFIG_S_DRIVER,
    VIRTIO_CONFIG_S_FEATURES_OK,
    VIRTIO_CONFIG_S_DRIVER_OK,
];

/// A virtio device with its registers.
pub struct VirtioMmio<D> {
    state: Mutex<State<D>>,
    /// Why there was an interrupt: `VIRTIO_MMIO_INT_*`.
    pending: AtomicU32,
    /// The driver has done what it must not; only a reset helps.
    broken: AtomicBool,
    /// The machine is to end.
    stop: Arc<AtomicBool>,
    line: InterruptLine,
    notifiers: Vec<EventFd>,
    complaints: Complaints,
}

struct State<D> {
    device: D,
    memory: GuestMemoryMmap,
    queues: Vec<Queue>,
    status: u32,
    driver_features: u64,
    device_features_select: u32,
    driver_features_select: u32,
    queue_select: u32,
}

impl<D: VirtioDevice> VirtioMmio<D> {
    /// A device as after a reset. Its buffers are where `memory` has them: for a Realm, at shared
    /// addresses and nowhere else. It begins nothing any more after `stop`.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn new(
        device: D,
        memory: GuestMemoryMmap,
        line: InterruptLine,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Arc<Self>> {
        let queues = D::QUEUES
            .iter()
            .map(|size| Queue::new(*size).map_err(io::Error::other));
        let notifiers = D::QUEUES.iter().map(|_| EventFd::new(EFD_NONBLOCK));
        Ok(Arc::new(Self {
            state: Mutex::new(State {
                device,
                memory,
                queues: queues.collect::<Result<_, _>>()?,
                status: 0,
                driver_features: 0,
                device_features_select: 0,
                driver_features_select: 0,
                queue_select: 0,
            }),
            pending: AtomicU32::new(0),
            broken: AtomicBool::new(false),
            stop,
            line,
            notifiers: notifiers.collect::<Result<_, _>>()?,
            complaints: Complaints::default(),
        }))
    }

    /// By what a queue is notified; the kernel may write to it as well (`KVM_IOEVENTFD`).
    pub fn notifiers(&self) -> &[EventFd] {
        &self.notifiers
    }

    /// The interrupt.
    pub fn line(&self) -> &InterruptLine {
        &self.line
    }

    /// Does something with the device.
    pub fn with_device<T>(&self, action: impl FnOnce(&mut D) -> T) -> T {
        action(&mut lock(&self.state).device)
    }

    /// Tells the driver that the configuration space has changed.
    pub fn configuration_changed(&self) {
        self.interrupt(VIRTIO_MMIO_INT_CONFIG);
    }

    /// Serves a queue: what is available now, up to as many chains as it holds and so many bytes,
    /// so that a driver that never stops does not keep out a reset.
    pub fn serve(&self, index: usize) {
        let mut state = lock(&self.state);
        if state.status & VIRTIO_CONFIG_S_DRIVER_OK == 0 || self.broken.load(Ordering::Relaxed) {
            return;
        }
        match state.serve(index, &self.stop) {
            Ok(served) => {
                self.notify_due(&state.device, index);
                drop(state);
                if served.interrupt {
                    self.interrupt(VIRTIO_MMIO_INT_VRING);
                }
                if served.more {
                    self.notify(index);
                }
            }
            Err(error) => {
                drop(state);
                self.give_up(&format!("queue {index}: {error}"));
            }
        }
    }

    /// What the device's thread waits for besides its notifiers.
    pub fn source(&self) -> Option<Source> {
        lock(&self.state).device.source()
    }

    /// Has the device take notice of what has come from its source.
    pub fn attend(&self) {
        let due = {
            let device = &mut lock(&self.state).device;
            device.attend();
            (0..D::QUEUES.len())
                .filter(|index| device.is_due(*index))
                .collect::<Vec<_>>()
        };
        for index in due {
            self.serve(index);
        }
    }

    /// Has those queues served that have to be, but for the one that just was.
    fn notify_due(&self, device: &D, served: usize) {
        for index in (0..D::QUEUES.len()).filter(|index| *index != served) {
            if device.is_due(index) {
                self.notify(index);
            }
        }
    }

    fn notify(&self, index: usize) {
        if let Some(notifier) = self.notifiers.get(index) {
            // Fails only when it has been told 2⁶⁴ − 2 times already.
            let _ = notifier.write(1);
        }
    }

    fn interrupt(&self, reason: u32) {
        self.pending.fetch_or(reason, Ordering::SeqCst);
        self.line.raise();
    }

    fn give_up(&self, why: &str) {
        if !self.broken.swap(true, Ordering::SeqCst) {
            let what = format_args!("the driver of a device {} must reset it: {why}", D::ID);
            self.complaints.say("virtio", what);
            self.interrupt(VIRTIO_MMIO_INT_CONFIG);
        }
    }

    fn read_register(&self, offset: u32) -> u32 {
        // Without the lock: see the top of this file.
        if offset == VIRTIO_MMIO_INTERRUPT_STATUS {
            return self.pending.load(Ordering::SeqCst);
        }
        let state = lock(&self.state);
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => D::ID,
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => half(state.offered(), state.device_features_select),
            VIRTIO_MMIO_QUEUE_NUM_MAX => {
                state.selected().map_or(0, |queue| queue.max_size().into())
            }
            VIRTIO_MMIO_QUEUE_READY => state.selected().is_some_and(Queue::ready).into(),
            VIRTIO_MMIO_STATUS => {
                let broken = self.broken.load(Ordering::SeqCst);
                state.status
                    | if broken {
                        VIRTIO_CONFIG_S_NEEDS_RESET
                    } else {
                        0
                    }
            }
            // There are no shared memory regions.
            VIRTIO_MMIO_SHM_LEN_LOW | VIRTIO_MMIO_SHM_LEN_HIGH => u32::MAX,
            // What changes in a configuration space is read at once, so its generation is always 0.
            _ => 0,
        }
    }

    fn write_register(&self, offset: u32, value: u32) {
        // Without the lock: see the top of this file.
        match offset {
            VIRTIO_MMIO_QUEUE_NOTIFY => {
                if let Ok(index) = usize::try_from(value) {
                    self.notify(index);
                }
                return;
            }
            VIRTIO_MMIO_INTERRUPT_ACK => {
                self.pending.fetch_and(!value, Ordering::SeqCst);
                return;
            }
            _ => {}
        }
        let mut state = lock(&self.state);
        match offset {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => state.device_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => state.driver_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES => state.accept_features(value),
            VIRTIO_MMIO_QUEUE_SEL => state.queue_select = value,
            VIRTIO_MMIO_STATUS if value == 0 => {
                state.reset();
                self.pending.store(0, Ordering::SeqCst);
                self.broken.store(false, Ordering::SeqCst);
            }
            VIRTIO_MMIO_STATUS => {
                if let Err(why) = state.advance(value) {
                    drop(state);
                    self.give_up(why);
                }
            }
            _ => state.configure_queue(offset, value),
        }
    }
}

/// Why a queue is not served any more.
#[derive(Error, Debug)]
enum ServeError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

/// What came of serving a queue.
struct Served {
    interrupt: bool,
    more: bool,
}

impl<D: VirtioDevice> State<D> {
    fn offered(&self) -> u64 {
        let common = if self.device.through_platform() {
            COMMON_FEATURES
        } else {
            COMMON_FEATURES & !(1 << VIRTIO_F_ACCESS_PLATFORM)
        };
        common | self.device.features()
    }

    fn selected(&self) -> Option<&Queue> {
        self.queues.get(usize::try_from(self.queue_select).ok()?)
    }

    fn accept_features(&mut self, value: u32) {
        // Features are settled once the driver has said so.
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            return;
        }
        let value = u64::from(value);
        match self.driver_features_select {
            0 => self.driver_features = self.driver_features & !0xffff_ffff | value,
            1 => self.driver_features = self.driver_features & 0xffff_ffff | value << 32,
            _ => {}
        }
    }

    /// A register of the selected queue. They can be written until the driver starts the device,
    /// and until the queue is ready.
    fn configure_queue(&mut self, offset: u32, value: u32) {
        let settled = self.status & VIRTIO_CONFIG_S_FEATURES_OK != 0;
        if !settled || self.status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED) != 0 {
            return;
        }
        let Some(queue) = usize::try_from(self.queue_select)
            .ok()
            .and_then(|index| self.queues.get_mut(index))
        else {
            return;
        };
        if offset == VIRTIO_MMIO_QUEUE_READY {
            queue.set_ready(value == 1);
            return;
        }
        if queue.ready() {
            return;
        }
        match offset {
            // What is too large or no power of two stays as it was.
            VIRTIO_MMIO_QUEUE_NUM => queue.set_size(u16::try_from(value).unwrap_or(0)),
            VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.set_avail_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.set_avail_ring_address(None, Some(value)),
            VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
            VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    /// The driver's next step. It adds bits in their order and takes none back; what it does
    /// otherwise has no effect.
    fn advance(&mut self, value: u32) -> Result<(), &'static str> {
        if value & VIRTIO_CONFIG_S_FAILED != 0 {
            self.status |= VIRTIO_CONFIG_S_FAILED;
            return Ok(());
        }
        for (index, step) in STEPS.into_iter().enumerate() {
            if value & step == 0 || self.status & step != 0 {
                continue;
            }
            let before = STEPS[..index].iter().fold(0, |bits, bit| bits | bit);
            if self.status & before != before {
                return Ok(());
            }
            match step {
                // The driver reads the status back to learn that it was refused.
                VIRTIO_CONFIG_S_FEATURES_OK if !self.features_agree() => return Ok(()),
                VIRTIO_CONFIG_S_DRIVER_OK => {
                    if self
                        .queues
                        .iter()
                        .any(|queue| queue.ready() && !queue.is_valid(&self.memory))
                    {
                        return Err("a queue is outside of the memory that it shares");
                    }
                    let event_index = self.driver_features >> VIRTIO_RING_F_EVENT_IDX & 1 == 1;
                    for queue in &mut self.queues {
                        queue.set_event_idx(event_index);
                    }
                    self.device.start(self.driver_features);
                }
                _ => {}
            }
            self.status |= step;
        }
        Ok(())
    }

    fn features_agree(&self) -> bool {
        self.driver_features & !self.offered() == 0
            && self.offered() & NEEDED_FEATURES & !self.driver_features == 0
    }

    fn reset(&mut self) {
        self.queues.iter_mut().for_each(Queue::reset);
        self.device.reset();
        self.status = 0;
        self.driver_features = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.queue_select = 0;
    }

    fn serve(&mut self, index: usize, stop: &AtomicBool) -> Result<Served, ServeError> {
        let (memory, device) = (&self.memory, &mut self.device);
        let mut served = Served {
            interrupt: false,
            more: false,
        };
        let Some(queue) = self.queues.get_mut(index).filter(|queue| queue.ready()) else {
            return Ok(served);
        };
        let mut used = false;
        queue.disable_notification(memory)?;
        let mut left = queue.size();
        let mut bytes = 0_u64;
        while !stop.load(Ordering::SeqCst) && device.wants(index) {
            if left == 0 || bytes >= MOST_BYTES {
                served.more = true;
                break;
            }
            left -= 1;
            let Some(chain) = queue.iter(memory)?.next() else {
                if queue.enable_notification(memory)? {
                    continue;
                }
                break;
            };
            let head = chain.head_index();
            bytes = bytes.saturating_add(measure(&chain, queue.size())?);
            let written = device.serve(index, memory, chain)?;
            queue.add_used(memory, head, written)?;
            used = true;
        }
        served.interrupt = used && queue.needs_notification(memory)?;
        Ok(served)
    }
}

impl<D: VirtioDevice> MmioDevice for VirtioMmio<D> {
    fn read(&self, offset: u64, data: &mut [u8]) {
        if let Some(offset) = offset.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            lock(&self.state).device.read_configuration(offset, data);
            return;
        }
        // Registers are 32 bits wide; nothing else is defined.
        match (<&mut [u8; 4]>::try_from(&mut *data), register(offset)) {
            (Ok(data), Some(offset)) => *data = self.read_register(offset).to_le_bytes(),
            _ => data.fill(0),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(offset) = offset.checked_sub(VIRTIO_MMIO_CONFIG.into()) {
            lock(&self.state).device.write_configuration(offset, data);
            return;
        }
        if let (Ok(data), Some(offset)) = (data.try_into(), register(offset)) {
            self.write_register(offset, u32::from_le_bytes(data));
        }
    }
}

/// Bytes of a chain, as the driver says; devices do not move more than that.
fn measure(chain: &Chain<'_>, most_buffers: u16) -> Result<u64, Misuse> {
    let mut bytes = 0;
    for (number, descriptor) in chain.clone().enumerate() {
        if number >= most_buffers.into() {
            return Err(Misuse::TooManyBuffers);
        }
        bytes += u64::from(descriptor.len());
    }
    Ok(bytes)
}

/// The register at an offset.
fn register(offset: u64) -> Option<u32> {
    let offset = u32::try_from(offset).ok()?;
    (offset < VIRTIO_MMIO_CONFIG && offset.is_multiple_of(4)).then_some(offset)
}

/// One of the 32-bit halves of a 64-bit set.
fn half(bits: u64, select: u32) -> u32 {
    match select {
        0 => (bits & 0xffff_ffff) as u32,
        1 => (bits >> 32) as u32,
        _ => 0,
    }
}
