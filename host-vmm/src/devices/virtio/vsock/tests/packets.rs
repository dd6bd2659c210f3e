//! What a driver may put into its queues, and what it may not.

use super::*;

#[test]
fn content_comes_in_packets_as_large_as_buffers() {
    let mut guest = Guest::new();
    let mut stream = guest.connected();
    let content = pattern(1000);
    stream.write_all(&content).unwrap();
    let mut seen = Vec::new();
    while let Some(packet) = guest.next_of(44 + 300) {
        assert!(packet.content.len() <= 300);
        seen.extend(packet.content);
    }
    assert!(seen == content);
}

#[test]
fn packets_of_nobody_are_refused_within_bounds() {
    let mut guest = Guest::new();
    for _ in 0..MOST_REFUSALS {
        guest.send(header(9, 9, Operation::Data), b"x");
    }
    // Nothing more is looked at until the guest takes what is there for it.
    let used = guest.driver.used(TRANSMIT).0;
    guest.driver.offer(TRANSMIT, 0);
    guest.driver.notify(TRANSMIT);
    assert_eq!(guest.driver.used(TRANSMIT).0, used);
    assert_eq!(guest.expect(Operation::Reset).ports(), (9, 9));
    // The device has told itself that there is room again.
    assert!(guest.driver.device.notifiers()[TRANSMIT].read().is_ok());
    guest.driver.device.serve(TRANSMIT);
    assert_eq!(guest.driver.used(TRANSMIT).0, used + 1);
    for _ in 0..MOST_REFUSALS {
        guest.expect(Operation::Reset);
    }
    assert_eq!(guest.next(), None);
    // A reset is not answered.
    guest.send(header(9, 9, Operation::Reset), &[]);
    assert_eq!(guest.next(), None);
}

#[test]
fn packets_that_are_none_have_no_effect() {
    let mut guest = Guest::new();
    let listener = guest.listen(80);
    listener.set_nonblocking(true).unwrap();
    let request = header(80, 1000, Operation::Request);
    // From another guest.
    guest.send(
        Header {
            source_cid: U64::new(8),
            ..request
        },
        &[],
    );
    guest.send(
        Header {
            source_cid: U64::new(1 << 32 | 7),
            ..request
        },
        &[],
    );
    assert_eq!(guest.next(), None);
    // To another host, of another kind, for nothing.
    for wrong in [
        Header {
            destination_cid: U64::new(3),
            ..request
        },
        Header {
            destination_cid: U64::new(1 << 32 | 2),
            ..request
        },
        Header {
            kind: U16::new(2),
            ..request
        },
        Header {
            operation: U16::new(0),
            ..request
        },
        Header {
            operation: U16::new(8),
            ..request
        },
    ] {
        guest.send(wrong, &[]);
        let answer = guest.expect(Operation::Reset).header;
        assert_eq!(answer.source_cid, wrong.destination_cid);
        assert_eq!(answer.kind, wrong.kind);
    }
    assert!(listener.accept().is_err());
    assert_eq!(guest.connections(), 0);
    drop(listener);
    std::fs::remove_file(guest.folder.path().join("guest_80")).unwrap();

    // What an open connection must not get ends it.
    for wrong in [
        header(80, 1000, Operation::Request),
        header(80, 1000, Operation::Response),
        Header {
            operation: U16::new(9),
            ..request
        },
    ] {
        let stream = guest.connected();
        guest.send(wrong, &[]);
        guest.expect(Operation::Reset);
        assert_eq!((&stream).read(&mut [0]).unwrap(), 0);
        assert_eq!(guest.connections(), 0);
        std::fs::remove_file(guest.folder.path().join("guest_80")).unwrap();
    }
    // More than a packet has.
    let _stream = guest.connected();
    let mut long = header(80, 1000, Operation::Data);
    long.length = U32::new(0x1_0001);
    guest.send_raw(&long, &vec![0; 0x1_0001]);
    guest.expect(Operation::Reset);
    assert_eq!(guest.connections(), 0);
}

#[test]
fn there_is_an_end_of_connections() {
    let mut guest = Guest::new();
    let listener = guest.listen(80);
    let mut accepted = Vec::new();
    for port in 0..MOST_CONNECTIONS as u32 {
        guest.send(header(80, port, Operation::Request), &[]);
        accepted.push(listener.accept().unwrap());
    }
    while guest.next().is_some() {}
    guest.send(header(80, 1000, Operation::Request), &[]);
    assert_eq!(guest.expect(Operation::Reset).ports(), (80, 1000));
    // The host's have to wait.
    let mut stream = guest.knock();
    stream.write_all(b"CONNECT 5\n").unwrap();
    assert_eq!(guest.next(), None);
    guest.send(header(80, 3, Operation::Reset), &[]);
    assert_eq!(guest.expect(Operation::Request).ports().1, 5);
    assert_eq!(guest.connections(), MOST_CONNECTIONS);
    // A driver that begins anew knows of none. Whoever waits is not let in by the thread that resets.
    let waiting = guest.knock();
    assert_eq!(guest.next(), None);
    guest.driver.start(0);
    assert_eq!(guest.connections(), 0);
    drop(waiting);
    assert_eq!(guest.next(), None);
}

#[test]
fn buffers_that_no_driver_may_offer_stop_the_device() {
    let mut guest = Guest::new();
    let mut long = header(80, 1000, Operation::Data);
    long.length = U32::new(5);
    for chain in [
        &[(OUT, 43, 0)][..],
        &[(OUT, 44, WRITE)],
        &[(OUT & 0xffff_ffff, 44, 0)],
        &[(MEMORY + MEMORY_BYTES - 43, 44, 0)],
        // Four bytes where five are announced.
        &[(OUT, 44, 0), (OUT + 44, 4, 0)],
    ] {
        guest.driver.put(OUT, long.as_bytes());
        guest.driver.misuse(TRANSMIT, chain);
        guest.driver.start(0);
    }
    for chain in [
        &[(IN, 43, WRITE)][..],
        &[(IN, 64, 0)],
        &[(IN & 0xffff_ffff, 64, WRITE)],
    ] {
        guest.send(header(9, 9, Operation::Data), b"x");
        guest.driver.misuse(RECEIVE, chain);
        guest.driver.start(0);
    }
    // A buffer in which nothing has room but the header.
    let mut stream = guest.connected();
    stream.write_all(b"x").unwrap();
    guest.driver.device.attend();
    guest.driver.misuse(RECEIVE, &[(IN, 44, WRITE)]);
    guest.driver.start(0);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
