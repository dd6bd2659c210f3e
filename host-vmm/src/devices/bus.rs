//! Which device answers at which address.

use std::sync::Arc;

use thiserror::Error;

use crate::devices::Complaints;
use crate::layout::Range;

/// A device with registers in memory. vCPUs come here at the same time.
pub trait MmioDevice: Send + Sync {
    /// Fills `data`, 1 to 8 bytes, with what is at `offset` into the device's range.
    fn read(&self, offset: u64, data: &mut [u8]);

    /// Takes `data`, 1 to 8 bytes, at `offset` into the device's range.
    fn write(&self, offset: u64, data: &[u8]);
}

/// Two devices want the same address.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
#[error("two devices at {:#x}", .0.base)]
pub struct Overlap(pub Range);

/// All devices of a machine, by address.
#[derive(Default)]
pub struct Bus {
    /// Ordered, and without overlap.
    devices: Vec<(Range, Arc<dyn MmioDevice>)>,
    complaints: Complaints,
}

impl Bus {
    /// A bus without devices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a device at a range of addresses.
    ///
    /// # Errors
    ///
    /// If there is another one.
    pub fn add(&mut self, range: Range, device: Arc<dyn MmioDevice>) -> Result<(), Overlap> {
        if self.devices.iter().any(|(other, _)| other.overlaps(range)) {
            return Err(Overlap(range));
        }
        let place = self
            .devices
            .partition_point(|(other, _)| other.base < range.base);
        self.devices.insert(place, (range, device));
        Ok(())
    }

    /// A read by a vCPU. Where there is no device there are zeroes.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        if let Some((device, offset)) = self.find(address, data.len()) {
            device.read(offset, data);
        } else {
            data.fill(0);
            self.report("reads from", address);
        }
    }

    /// A write by a vCPU. Where there is no device it has no effect.
    pub fn write(&self, address: u64, data: &[u8]) {
        if let Some((device, offset)) = self.find(address, data.len()) {
            device.write(offset, data);
        } else {
            self.report("writes to", address);
        }
    }

    /// The device that has all of an access.
    fn find(&self, address: u64, bytes: usize) -> Option<(&dyn MmioDevice, u64)> {
        let behind = self
            .devices
            .partition_point(|(range, _)| range.base <= address);
        let (range, device) = self.devices.get(behind.checked_sub(1)?)?;
        let offset = address - range.base;
        let end = offset.checked_add(u64::try_from(bytes).ok()?)?;
        (end <= range.size).then_some((device.as_ref(), offset))
    }

    fn report(&self, what: &str, address: u64) {
        self.complaints.say(
            "the guest",
            format_args!("{what} {address:#x}, where there is nothing"),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<(u64, Vec<u8>)>>);

    impl MmioDevice for Recorder {
        fn read(&self, offset: u64, data: &mut [u8]) {
            data.fill(u8::try_from(offset).unwrap());
        }

        fn write(&self, offset: u64, data: &[u8]) {
            self.0.lock().unwrap().push((offset, data.to_vec()));
        }
    }

    #[test]
    fn accesses_reach_the_device_that_has_all_of_them() {
        let (low, high) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
        let mut bus = Bus::new();
        bus.add(Range::new(0x2000, 0x100), high.clone()).unwrap();
        bus.add(Range::new(0x1000, 0x100), low.clone()).unwrap();
        bus.write(0x1000, &[1]);
        bus.write(0x20fc, &[1, 2, 3, 4]);
        // Behind the first, across the end of the second, in front of both, at the end of it all.
        bus.write(0x1100, &[5]);
        bus.write(0x20fd, &[1, 2, 3, 4]);
        bus.write(0xfff, &[1]);
        bus.write(u64::MAX, &[1, 2]);
        assert_eq!(*low.0.lock().unwrap(), [(0, vec![1])]);
        assert_eq!(*high.0.lock().unwrap(), [(0xfc, vec![1, 2, 3, 4])]);

        let mut data = [0xaa; 2];
        bus.read(0x2010, &mut data);
        assert_eq!(data, [0x10; 2]);
        bus.read(0x3000, &mut data);
        assert_eq!(data, [0; 2]);
        data = [0xaa; 2];
        Bus::new().read(0, &mut data);
        assert_eq!(data, [0; 2]);
    }

    #[test]
    fn two_devices_do_not_share_an_address() {
        let device = Arc::new(Recorder::default());
        let mut bus = Bus::new();
        bus.add(Range::new(0x1000, 0x100), device.clone()).unwrap();
        for base in [0xf01, 0x1000, 0x10ff] {
            let range = Range::new(base, 0x100);
            assert_eq!(bus.add(range, device.clone()), Err(Overlap(range)));
        }
        bus.add(Range::new(0xf00, 0x100), device.clone()).unwrap();
        bus.add(Range::new(0x1100, 0x100), device).unwrap();
    }
}
