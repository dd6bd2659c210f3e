//! Streams between programs of guest and host, from their beginning to their end.

use super::*;

#[test]
fn the_address_is_in_the_configuration() {
    let guest = Guest::new();
    let mut space = [0xff; 9];
    guest
        .driver
        .device
        .with_device(|vsock| vsock.read_configuration(0, &mut space));
    assert_eq!(space, [7, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(guest.driver.read(8), 19);
}

#[test]
fn a_program_of_the_host_reaches_the_guest() {
    let mut guest = Guest::new();
    let mut stream = guest.knock();
    stream.write_all(b"CONNECT 12").unwrap();
    assert_eq!(guest.next(), None);
    // What follows the line is for the guest.
    stream.write_all(b"34\nfirst").unwrap();
    let request = guest.expect(Operation::Request);
    let (port, guest_port) = request.ports();
    assert_eq!(guest_port, 1234);
    assert!(port >= FIRST_PORT);
    assert_eq!(request.header.source_cid, HOST_CID);
    assert_eq!(request.header.room.get(), ROOM);
    assert_eq!(guest.next(), None, "nothing before the guest has accepted");
    guest.send(header(port, 1234, Operation::Response), &[]);
    let line = format!("OK {port}\n");
    assert_eq!(read_all(&stream, line.len()), line.as_bytes());
    assert_eq!(guest.expect(Operation::Data).content, b"first");
    guest.send(header(port, 1234, Operation::Data), b"answer");
    assert_eq!(read_all(&stream, 6), b"answer");
    // One direction, then the other.
    stream.write_all(b"last").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(guest.expect(Operation::Data).content, b"last");
    assert_eq!(
        guest.expect(Operation::Shutdown).header.flags.get(),
        SENDS_NO_MORE
    );
    guest.send(header(port, 1234, Operation::Data), b"more");
    assert_eq!(read_all(&stream, 4), b"more");
    drop(stream);
    let both = RECEIVES_NO_MORE | SENDS_NO_MORE;
    assert_eq!(guest.expect(Operation::Shutdown).header.flags.get(), both);
    guest.send(header(port, 1234, Operation::Reset), &[]);
    assert_eq!(guest.next(), None);
    assert_eq!(guest.connections(), 0);
}

#[test]
fn a_program_of_the_guest_reaches_the_host() {
    let mut guest = Guest::new();
    let listener = guest.listen(80);
    guest.send(header(80, 1000, Operation::Request), &[]);
    let response = guest.expect(Operation::Response);
    assert_eq!(response.ports(), (80, 1000));
    let mut stream = listener.accept().unwrap().0;
    guest.data(b"question");
    assert_eq!(read_all(&stream, 8), b"question");
    stream.write_all(b"answer").unwrap();
    assert_eq!(guest.expect(Operation::Data).content, b"answer");
    guest.data(b"end");
    guest.shutdown(SENDS_NO_MORE);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"end");
    assert_eq!(guest.next(), None);
    guest.shutdown(RECEIVES_NO_MORE);
    assert_eq!(guest.expect(Operation::Reset).ports(), (80, 1000));
    assert_eq!(guest.connections(), 0);
    // Nobody listens there.
    guest.send(header(81, 1000, Operation::Request), &[]);
    assert_eq!(guest.expect(Operation::Reset).ports(), (81, 1000));
}

#[test]
fn a_program_that_says_something_else_is_turned_away() {
    let mut guest = Guest::new();
    for text in [
        "CONNECT\n",
        "CONNECT \n",
        "CONNECT +1\n",
        "CONNECT 4294967296\n",
        "connect 1\n",
        "CONNECT 1 2\n",
        "GET / HTTP/1.1\r\n\r\n",
        "CONNECT 00000000000000000000000000000001\n",
        "\u{e4}\n",
    ] {
        let mut stream = guest.knock();
        stream.write_all(text.as_bytes()).unwrap();
        assert_eq!(guest.next(), None, "{text:?}");
        // Closing with unread bytes is a reset.
        let read = stream.read(&mut [0]);
        assert!(matches!(read, Ok(0) | Err(_)), "{text:?}");
        assert_eq!(guest.connections(), 0);
    }
    drop(guest.knock());
    assert_eq!(guest.next(), None);
    assert_eq!(guest.connections(), 0);
}

#[test]
fn a_guest_that_refuses_ends_the_hosts_stream() {
    let mut guest = Guest::new();
    let mut stream = guest.knock();
    stream.write_all(b"CONNECT 1\n").unwrap();
    let (port, _) = guest.expect(Operation::Request).ports();
    guest.send(header(port, 1, Operation::Reset), &[]);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(guest.connections(), 0);
    // A client that does not wait for the answer.
    let mut stream = guest.knock();
    stream.write_all(b"CONNECT 1\n").unwrap();
    let (port, _) = guest.expect(Operation::Request).ports();
    drop(stream);
    assert_eq!(guest.expect(Operation::Reset).ports(), (port, 1));
    assert_eq!(guest.connections(), 0);
}

#[test]
fn time_is_limited_until_the_guest_has_accepted() {
    let mut guest = Guest::with_patience(Duration::from_millis(50));
    let mut silent = guest.knock();
    let mut asking = guest.knock();
    asking.write_all(b"CONNECT 1\n").unwrap();
    let (port, _) = guest.expect(Operation::Request).ports();
    let mut late = guest.knock();
    late.write_all(b"CONNECT 2\n").unwrap();
    guest.driver.device.attend();
    assert_eq!(guest.connections(), 3);
    let worker = crate::worker::Worker::serve("vsock", Arc::clone(&guest.driver.device)).unwrap();
    for stream in [&mut silent, &mut asking, &mut late] {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    drop(worker);
    // The guest hears of the one that it knows, and perhaps of the last, which it may have got.
    let mut told = Vec::new();
    while let Some(packet) = guest.next() {
        told.push((packet.operation(), packet.ports().0));
    }
    assert!(told.contains(&(Operation::Reset, port)), "{told:?}");
    assert_eq!(guest.connections(), 0);
}

#[test]
fn the_guest_gets_no_more_than_it_has_room_for() {
    let mut guest = Guest::new();
    let mut stream = guest.connected();
    stream.set_nonblocking(true).unwrap();
    let content = pattern(3 * GUEST_ROOM as usize / 2);
    assert_eq!(stream.write(&content).unwrap(), content.len());
    let first = guest.expect(Operation::Data).content;
    assert_eq!(first.len(), GUEST_ROOM as usize);
    guest.expect(Operation::CreditRequest);
    assert_eq!(guest.next(), None, "it has been asked");
    // It has none, and is not asked again.
    let mut update = header(80, 1000, Operation::CreditUpdate);
    guest.send(update, &[]);
    assert_eq!(guest.next(), None);
    update.forwarded = U32::new(10);
    guest.send(update, &[]);
    let second = guest.expect(Operation::Data).content;
    assert_eq!(second.len(), 10);
    // More than it can have taken is none.
    update.forwarded = U32::new(GUEST_ROOM + 11);
    guest.send(update, &[]);
    guest.expect(Operation::CreditRequest);
    assert_eq!(guest.next(), None);
    update.forwarded = U32::new(GUEST_ROOM + 10);
    guest.send(update, &[]);
    let third = guest.expect(Operation::Data).content;
    assert!([first, second, third].concat() == content);
    assert_eq!(guest.next(), None);
}

#[test]
fn the_guest_may_send_what_it_was_told_and_no_more() {
    let mut guest = Guest::new();
    let stream = guest.connected();
    // As much as the host's socket takes without anybody reading.
    let mut sent = 0;
    let piece = pattern(0x8000);
    let waiting = |guest: &Guest| {
        let first = |vsock: &mut Vsock| {
            let connection = vsock.connections.values().next();
            connection.is_some_and(|connection| !connection.is_drained())
        };
        guest.driver.device.with_device(first)
    };
    while !waiting(&guest) {
        guest.data(&piece);
        sent += piece.len();
        // The guest is told in between.
        while guest.next().is_some() {}
    }
    let taken = sent;
    // Room for all but the part that the socket did not take.
    for _ in 0..3 {
        guest.data(&piece);
        sent += piece.len();
    }
    assert_eq!(guest.next(), None);
    // Somebody reads.
    let reader = stream.try_clone().unwrap();
    let reader = thread::spawn(move || read_all(&reader, sent));
    while !reader.is_finished() {
        guest.driver.device.attend();
    }
    let data = reader.join().unwrap();
    assert!(data.chunks(piece.len()).all(|chunk| chunk == piece));
    let update = guest.expect(Operation::CreditUpdate);
    assert_eq!(update.header.forwarded.get() as usize, sent);
    // When it wants to know it is told at once.
    guest.send(header(80, 1000, Operation::CreditRequest), &[]);
    guest.expect(Operation::CreditUpdate);
    assert_eq!(guest.next(), None);
    // One that sends more than it may is cut off.
    let mut pieces = 0;
    loop {
        guest.data(&piece);
        pieces += 1;
        match guest.next() {
            Some(packet) if packet.operation() == Operation::Reset => break,
            // The socket takes about as much as before.
            _ => assert!(pieces * piece.len() <= 2 * taken + ROOM as usize),
        }
    }
    assert_eq!(guest.connections(), 0);
    let mut rest = Vec::new();
    (&stream).read_to_end(&mut rest).unwrap();
    assert!(rest.len() < pieces * piece.len());
}

#[test]
fn the_host_gets_everything_after_the_guest_has_gone() {
    let mut guest = Guest::new();
    let stream = guest.connected();
    let piece = pattern(0x8000);
    let mut sent = 0;
    while guest
        .driver
        .device
        .with_device(|vsock| vsock.connections.values().all(Connection::is_drained))
    {
        guest.data(&piece);
        sent += piece.len();
        while guest.next().is_some() {}
    }
    guest.shutdown(RECEIVES_NO_MORE | SENDS_NO_MORE);
    guest.expect(Operation::Reset);
    assert_eq!(guest.connections(), 1);
    // Its ports are free again.
    guest.send(header(80, 1000, Operation::Data), b"x");
    guest.expect(Operation::Reset);
    let worker = crate::worker::Worker::serve("vsock", Arc::clone(&guest.driver.device)).unwrap();
    let mut data = Vec::new();
    (&stream).read_to_end(&mut data).unwrap();
    drop(worker);
    assert_eq!(data.len(), sent);
    assert!(data.chunks(piece.len()).all(|chunk| chunk == piece));
    assert_eq!(guest.connections(), 0);
}

/// A guest sends more than a program of the host takes that does not read, and is done.
fn left_behind(guest: &mut Guest) -> UnixStream {
    let stream = guest.connected();
    let drained = |vsock: &mut Vsock| vsock.connections.values().all(Connection::is_drained);
    while guest.driver.device.with_device(drained) {
        guest.data(&pattern(0x8000));
        while guest.next().is_some() {}
    }
    guest.shutdown(RECEIVES_NO_MORE | SENDS_NO_MORE);
    guest.expect(Operation::Reset);
    assert_eq!(guest.connections(), 1);
    stream
}

#[test]
fn what_nobody_takes_is_given_up() {
    let mut guest = Guest::new();
    let drain = |vsock: &mut Vsock| vsock.drain_patience = Duration::from_millis(50);
    guest.driver.device.with_device(drain);
    let _stream = left_behind(&mut guest);
    let worker = crate::worker::Worker::serve("vsock", Arc::clone(&guest.driver.device)).unwrap();
    let begin = Instant::now();
    while guest.connections() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "it stays");
        thread::sleep(Duration::from_millis(5));
    }
    drop(worker);
}

#[test]
fn whoever_takes_a_part_has_time_for_the_next() {
    let mut guest = Guest::new();
    let mut stream = left_behind(&mut guest);
    let until = |guest: &Guest| {
        let first = |vsock: &mut Vsock| vsock.connections.values().next()?.until;
        guest.driver.device.with_device(first)
    };
    let before = until(&guest).expect("a time");
    guest.driver.device.attend();
    assert_eq!(until(&guest), Some(before), "nothing was taken");
    // A socket wants more only when most of what it holds has gone.
    while until(&guest) == Some(before) {
        let mut buffer = [0; 0x4000];
        assert!(stream.read(&mut buffer).unwrap() > 0);
        guest.driver.device.attend();
    }
    assert!(until(&guest).is_none_or(|until| until > before));
}

#[test]
fn what_the_host_does_not_take_any_more_is_said() {
    let mut guest = Guest::new();
    let mut stream = guest.connected();
    stream.write_all(b"last").unwrap();
    drop(stream);
    guest.data(b"too late");
    assert_eq!(guest.expect(Operation::Data).content, b"last");
    let both = RECEIVES_NO_MORE | SENDS_NO_MORE;
    let mut flags = 0;
    while flags != both {
        flags = guest.expect(Operation::Shutdown).header.flags.get();
    }
    // It may not know yet.
    guest.data(b"still later");
    assert_eq!(guest.next(), None);
    guest.shutdown(both);
    guest.expect(Operation::Reset);
    assert_eq!(guest.connections(), 0);
}

/// A guest that sends back what it gets, with the device's thread in between.
#[test]
fn much_goes_both_ways_unchanged() {
    let mut guest = Guest::new();
    let stream = guest.connected();
    let content = pattern(3 << 20);
    let (sender, receiver) = (stream.try_clone().unwrap(), stream);
    let expected = content.clone();
    let writer = thread::spawn(move || {
        (&sender).write_all(&content).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let reader = thread::spawn(move || {
        let mut data = Vec::new();
        (&receiver).read_to_end(&mut data).unwrap();
        data
    });
    let (mut forwarded, mut sent, mut room) = (0_u32, 0_u32, 0_u32);
    let mut echo = VecDeque::new();
    let mut ended = false;
    let begin = Instant::now();
    while !ended || !echo.is_empty() {
        assert!(begin.elapsed().as_secs() < 60);
        if let Some(packet) = guest.next_of(4096) {
            room = ROOM - sent.wrapping_sub(packet.header.forwarded.get());
            ended |= packet.operation() == Operation::Shutdown;
            forwarded += packet.content.len() as u32;
            echo.extend(packet.content);
        }
        let bytes = echo.len().min(room as usize).min(0x8000);
        let mut header = header(80, 1000, Operation::Data);
        header.forwarded = U32::new(forwarded);
        if bytes > 0 {
            let piece: Vec<u8> = echo.drain(..bytes).collect();
            guest.send(header, &piece);
            sent += bytes as u32;
            room -= bytes as u32;
        } else if room == 0 {
            header.operation = Operation::CreditRequest.into();
            guest.send(header, &[]);
        } else {
            header.operation = Operation::CreditUpdate.into();
            guest.send(header, &[]);
        }
    }
    guest.shutdown(SENDS_NO_MORE);
    while !reader.is_finished() {
        guest.driver.device.attend();
    }
    writer.join().unwrap();
    assert!(reader.join().unwrap() == expected);
}
