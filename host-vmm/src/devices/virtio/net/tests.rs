// Patterns may be cut.
#![allow(clippy::cast_possible_truncation)]

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use super::*;
use crate::devices::virtio::tests::{Driver, MEMORY, MEMORY_BYTES, WRITE};

const DATA: u64 = MEMORY + 0x1_0000;
const ADDRESS: &str = "02:00:00:00:00:07";
const CHECKSUM: u64 = 1 << 0;
const GUEST_CHECKSUM: u64 = 1 << 1;
const TSO4: u64 = 1 << 11;
const TSO6: u64 = 1 << 12;
const ECN: u64 = 1 << 13;

/// A tap interface that is a pair of sockets.
struct Pair {
    socket: UnixDatagram,
    checksums: Arc<Mutex<Vec<bool>>>,
}

impl Link for Pair {
    fn read(&self, packet: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(packet)
    }

    fn write(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send(packet).map(drop)
    }

    fn leave_checksums(&self, may: bool) -> io::Result<()> {
        self.checksums.lock().unwrap().push(may);
        Ok(())
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A device, the network's end, and what was said of checksums.
fn net() -> (Net<Pair>, UnixDatagram, Arc<Mutex<Vec<bool>>>) {
    let (socket, network) = UnixDatagram::pair().unwrap();
    for end in [&socket, &network] {
        end.set_nonblocking(true).unwrap();
    }
    let checksums = Arc::default();
    let pair = Pair {
        socket,
        checksums: Arc::clone(&checksums),
    };
    (Net::new(pair, ADDRESS.parse().unwrap()), network, checksums)
}

fn packet(header: [u8; 12], bytes: usize) -> Vec<u8> {
    let mut packet = header.to_vec();
    packet.extend((0..bytes).map(|number| number as u8));
    packet
}

fn read(network: &UnixDatagram) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 0x2_0000];
    let count = network.recv(&mut bytes).ok()?;
    bytes.truncate(count);
    Some(bytes)
}

#[test]
fn the_address_is_in_the_configuration() {
    let driver = Driver::cold(net().0);
    let mut space = [0xff; 8];
    driver
        .device
        .with_device(|net| net.read_configuration(0, &mut space));
    assert_eq!(space, [2, 0, 0, 0, 0, 7, 0, 0]);
    assert_eq!(driver.read(8), 1);
}

#[test]
fn packets_go_out_as_they_are() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    let sent = packet([0; 12], 1514);
    driver.put(DATA, &sent);
    // In any pieces.
    for pieces in [
        &[(DATA, 1526, 0)][..],
        &[(DATA, 12, 0), (DATA + 12, 1514, 0)],
        &[(DATA, 5, 0), (DATA + 5, 1000, 0), (DATA + 1005, 521, 0)],
    ] {
        assert_eq!(driver.request(TRANSMIT, pieces), 0);
        assert!(read(&network) == Some(sent.clone()), "{pieces:x?}");
    }
    assert_eq!(read(&network), None);
}

#[test]
fn packets_come_in_whole_or_not_at_all() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    driver.chain(RECEIVE, &[(DATA, 12, WRITE), (DATA + 0x100, 1514, WRITE)]);
    driver.offer(RECEIVE, 0);
    driver.notify(RECEIVE);
    assert_eq!(driver.used(RECEIVE).0, 0, "there is no packet");
    // The flag says that the host has checked the sum, of which the driver does not know.
    network.send(&packet([2; 12], 1514)).unwrap();
    driver.device.attend();
    assert_eq!(driver.used(RECEIVE), (1, Some((0, 1526))));
    assert!(driver.interrupted());
    assert_eq!(driver.get(DATA, 12), [0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0]);
    assert_eq!(driver.get(DATA + 0x100, 1514), packet([0; 12], 1514)[12..]);

    // A longer one is lost, the next one is not; what has no addresses is no packet.
    for bytes in [1515, 13, 0, 60] {
        network.send(&packet([0; 12], bytes)).unwrap();
    }
    driver.offer(RECEIVE, 0);
    driver.notify(RECEIVE);
    assert_eq!(driver.used(RECEIVE), (2, Some((0, 0))));
    driver.offer(RECEIVE, 0);
    driver.notify(RECEIVE);
    assert_eq!(driver.used(RECEIVE), (3, Some((0, 72))));
    driver.offer(RECEIVE, 0);
    driver.notify(RECEIVE);
    assert_eq!(driver.used(RECEIVE).0, 3);
}

#[test]
fn packets_wait_for_buffers() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    for number in 0..3_u8 {
        network
            .send(&packet([0; 12], 60 + usize::from(number)))
            .unwrap();
    }
    driver.device.attend();
    assert!(!driver.interrupted());
    driver.chain(RECEIVE, &[(DATA, 2048, WRITE)]);
    for number in 0..3 {
        driver.offer(RECEIVE, 0);
        driver.notify(RECEIVE);
        assert_eq!(
            driver.used(RECEIVE),
            (number + 1, Some((0, 72 + u32::from(number))))
        );
    }
}

#[test]
fn checksums_are_left_to_a_driver_that_knows() {
    let (net, network, checksums) = net();
    let mut driver = Driver::with_features(net, CHECKSUM | GUEST_CHECKSUM);
    assert_eq!(checksums.lock().unwrap().last(), Some(&true));
    let header = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0];
    network.send(&packet(header, 60)).unwrap();
    let used = driver.request(RECEIVE, &[(DATA, 2048, WRITE)]);
    assert_eq!(used, 72);
    assert_eq!(driver.get(DATA, 12), [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 1, 0]);
    driver.write(0x70, 0);
    assert_eq!(checksums.lock().unwrap().last(), Some(&false));
    // The next driver does not.
    driver.start(0);
    network.send(&packet(header, 60)).unwrap();
    driver.request(RECEIVE, &[(DATA, 2048, WRITE)]);
    assert_eq!(driver.get(DATA, 1), [0]);
    assert_eq!(checksums.lock().unwrap().last(), Some(&false));
}

#[test]
fn what_was_not_agreed_on_does_not_reach_the_host() {
    // Flags, kind, length of headers, size of segments, where the sum is.
    let header = |flags: u8, kind: u8, size: u16, start: u16, offset: u16| {
        let mut header = [0; 12];
        header[0] = flags;
        header[1] = kind;
        header[2..4].copy_from_slice(&54_u16.to_le_bytes());
        header[4..6].copy_from_slice(&size.to_le_bytes());
        header[6..8].copy_from_slice(&start.to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
        header
    };
    let (all, none) = (CHECKSUM | TSO4 | TSO6 | ECN, 0);
    for (features, header, passes) in [
        (none, header(0, 0, 0, 0, 0), true),
        (none, header(1, 0, 0, 34, 16), false),
        (CHECKSUM, header(1, 0, 0, 34, 16), true),
        // At the last two bytes of 200, behind them, and behind all.
        (CHECKSUM, header(1, 0, 0, 34, 164), true),
        (CHECKSUM, header(1, 0, 0, 34, 165), false),
        (CHECKSUM, header(1, 0, 0, 0xffff, 0xffff), false),
        // Flags that are not a driver's.
        (all, header(2, 0, 0, 0, 0), false),
        (all, header(3, 0, 0, 34, 16), false),
        (all, header(0x80, 0, 0, 0, 0), false),
        (all, header(1, 1, 100, 34, 16), true),
        (all, header(1, 4, 100, 54, 16), true),
        (all, header(1, 0x81, 100, 34, 16), true),
        (CHECKSUM | TSO4, header(1, 1, 100, 34, 16), true),
        (CHECKSUM | TSO4, header(1, 4, 100, 54, 16), false),
        (CHECKSUM | TSO4, header(1, 0x81, 100, 34, 16), false),
        (CHECKSUM, header(1, 1, 100, 34, 16), false),
        // UDP, nothing that is, and a mark without a kind.
        (all, header(1, 3, 100, 34, 16), false),
        (all, header(1, 5, 100, 34, 16), false),
        (all, header(1, 2, 100, 34, 16), false),
        (all, header(1, 0x80, 100, 34, 16), false),
        // Without a checksum, and into nothing.
        (all, header(0, 1, 100, 34, 16), false),
        (all, header(1, 1, 0, 34, 16), false),
    ] {
        let (net, network, _) = net();
        let mut driver = Driver::with_features(net, features);
        let sent = packet(header, 200);
        driver.put(DATA, &sent);
        assert_eq!(driver.request(TRANSMIT, &[(DATA, 212, 0)]), 0);
        assert_eq!(
            read(&network),
            passes.then_some(sent),
            "{features:x} {header:?}"
        );
    }
}

#[test]
fn packets_have_a_largest_and_a_smallest_size() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    let most = 12 + 18 + 0xffff;
    for (bytes, passes) in [
        (most, true),
        (most + 1, false),
        (26, true),
        (25, false),
        (12, false),
    ] {
        assert_eq!(driver.request(TRANSMIT, &[(DATA, bytes, 0)]), 0);
        let sent = read(&network).map(|packet| packet.len() as u32);
        assert_eq!(sent, passes.then_some(bytes));
    }
}

#[test]
fn what_the_network_does_not_take_is_lost() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    let mut full = false;
    for _ in 0..1000 {
        driver.request(TRANSMIT, &[(DATA, 1526, 0)]);
    }
    let mut taken = 0;
    while read(&network).is_some() {
        taken += 1;
        full = taken < 1000;
    }
    assert!(full && taken > 0, "{taken}");
    driver.request(TRANSMIT, &[(DATA, 1526, 0)]);
    assert!(read(&network).is_some());
    // Nobody is there any more.
    drop(network);
    driver.request(TRANSMIT, &[(DATA, 1526, 0)]);
}

#[test]
fn buffers_that_no_driver_may_offer_stop_the_interface() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    for buffer in [
        (DATA, 11, 0),
        (DATA, 100, WRITE),
        (DATA & 0xffff_ffff, 100, 0),
        (MEMORY + MEMORY_BYTES - 99, 100, 0),
        (DATA, u32::MAX, 0),
    ] {
        driver.misuse(TRANSMIT, &[buffer]);
        driver.start(0);
    }
    assert_eq!(read(&network), None);
    for buffer in [
        (DATA, 11, WRITE),
        (DATA, 100, 0),
        (DATA & 0xffff_ffff, 2048, WRITE),
        (MEMORY + MEMORY_BYTES - 2047, 2048, WRITE),
    ] {
        network.send(&packet([0; 12], 60)).unwrap();
        driver.misuse(RECEIVE, &[buffer]);
        driver.start(0);
        // Its packet was for a driver that is gone.
        while driver
            .device
            .with_device(|net| net.link.read(&mut [0; 2048]).is_ok())
        {}
    }
    network.send(&packet([0; 12], 60)).unwrap();
    assert_eq!(driver.request(RECEIVE, &[(DATA, 2048, WRITE)]), 72);
}

#[test]
fn the_thread_of_the_device_hears_of_packets() {
    let (net, network, _) = net();
    let mut driver = Driver::new(net);
    driver.chain(RECEIVE, &[(DATA, 2048, WRITE)]);
    for _ in 0..3 {
        driver.offer(RECEIVE, 0);
    }
    let worker = crate::worker::Worker::serve("net", Arc::clone(&driver.device)).unwrap();
    for number in 1..=3 {
        network.send(&packet([0; 12], 60)).unwrap();
        let begin = std::time::Instant::now();
        while driver.used(RECEIVE).0 < number {
            assert!(
                begin.elapsed().as_secs() < 60,
                "packet {number} does not come"
            );
            std::thread::yield_now();
        }
    }
    drop(worker);
}
