use proptest::{collection::vec, prelude::*};

use super::*;

fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(((HEADER_LEN + payload.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(payload);
    message.resize(message.len().next_multiple_of(ALIGN), 0);
    message
}

/// An IPv4 connection in `CLOSE_WAIT`, with as much of `tcp_info` as `info_len` says.
fn socket_payload(info_len: usize) -> Vec<u8> {
    let mut payload = vec![0u8; SOCKET_LEN];
    payload[0] = libc::AF_INET as u8;
    payload[1] = 8;
    payload[4..6].copy_from_slice(&80u16.to_be_bytes());
    payload[6..8].copy_from_slice(&50_000u16.to_be_bytes());
    payload[8..12].copy_from_slice(&[127, 0, 0, 1]);
    payload[24..28].copy_from_slice(&[10, 0, 0, 9]);
    for (at, value) in [(44, 7u32), (48, 1), (56, 11), (60, 12), (64, 33), (68, 4711)] {
        payload[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    let mut info = vec![0u8; 232];
    for (at, value) in [(44, 500u32), (52, 600), (56, 400), (156, 3)] {
        info[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    info[128..136].copy_from_slice(&80u64.to_ne_bytes());
    payload.extend([5, 0, 99, 0, 1, 0, 0, 0]); // one byte of another kind, padded
    payload.extend(((ATTRIBUTE_LEN + info_len) as u16).to_ne_bytes());
    payload.extend(INFO.to_ne_bytes());
    payload.extend(&info[..info_len]);
    payload
}

#[test]
fn a_socket_is_read_whole() {
    let ms = Duration::from_millis;
    let socket = Socket::parse(&socket_payload(232)).unwrap();
    let expected = Socket {
        state: State::CloseWait,
        local: "127.0.0.1:80".parse().unwrap(),
        remote: "10.0.0.9:50000".parse().unwrap(),
        cookie: 7 | 1 << 32,
        receive_queue: 11,
        send_queue: 12,
        uid: 33,
        inode: 4711,
        info: Info {
            bytes_received: Some(80),
            data_segments_out: Some(3),
            last_data_sent: Some(ms(500)),
            last_data_received: Some(ms(600)),
            last_ack_received: Some(ms(400)),
        },
    };
    assert_eq!(socket, expected);
}

#[test]
fn the_shorter_info_of_an_older_kernel_is_read_as_far_as_it_goes() {
    let info = |len| Socket::parse(&socket_payload(len)).unwrap().info;
    assert_eq!(info(156).data_segments_out, None);
    assert_eq!(info(156).bytes_received, Some(80));
    assert_eq!(info(132).bytes_received, None);
    assert_eq!(info(104).last_ack_received, Some(Duration::from_millis(400)));
    assert_eq!(info(0), Info::default());
}

#[test]
fn ipv4_in_ipv6_clothes_is_given_as_ipv4() {
    let mut payload = socket_payload(232);
    payload[0] = libc::AF_INET6 as u8;
    let mapped = |a: [u8; 4]| Ipv4Addr::from(a).to_ipv6_mapped().octets();
    payload[8..24].copy_from_slice(&mapped([127, 0, 0, 1]));
    payload[24..40].copy_from_slice(&mapped([10, 0, 0, 9]));
    let socket = Socket::parse(&payload).unwrap();
    assert_eq!(socket.local, "127.0.0.1:80".parse().unwrap());
    assert_eq!(socket.remote, "10.0.0.9:50000".parse().unwrap());
}

#[test]
fn several_messages_of_one_datagram_come_one_by_one() {
    let interrupted = libc::NLM_F_DUMP_INTR as u16;
    let payload = socket_payload(232);
    let mut datagram = message(BY_FAMILY, 0, 5, &payload);
    datagram.extend(message(libc::NLMSG_NOOP as u16, interrupted, 5, &[]));
    datagram.extend(message(libc::NLMSG_ERROR as u16, 0, 6, &(-libc::ENOENT).to_ne_bytes()));
    datagram.extend(message(libc::NLMSG_DONE as u16, 0, 5, &0i32.to_ne_bytes()));
    let messages: Vec<_> = Messages::of(&datagram).map(Result::unwrap).collect();
    let expected = [
        Message { sequence: 5, interrupted: false, body: Body::Socket(&payload) },
        Message { sequence: 5, interrupted: true, body: Body::Other },
        Message { sequence: 6, interrupted: false, body: Body::Error(libc::ENOENT) },
        Message { sequence: 5, interrupted: false, body: Body::Done(0) },
    ];
    assert_eq!(messages, expected);
}

#[test]
fn a_length_that_lies_is_malformed_and_ends_the_datagram() {
    for length in [0u32, 15, 10_000, u32::MAX] {
        let mut datagram = message(BY_FAMILY, 0, 5, &socket_payload(0));
        datagram[..4].copy_from_slice(&length.to_ne_bytes());
        let mut messages = Messages::of(&datagram);
        assert!(messages.next().unwrap().is_err(), "{length}");
        assert_eq!(messages.next(), None);
    }
    for length in [0u16, 3, 10_000] {
        let mut payload = socket_payload(232);
        payload[SOCKET_LEN..SOCKET_LEN + 2].copy_from_slice(&length.to_ne_bytes());
        assert!(Socket::parse(&payload).is_err(), "{length}");
    }
}

#[test]
fn a_request_names_family_port_and_states() {
    let request = request(Family::V6, NonZeroU16::new(0x1f90).unwrap(), &[State::Established], 9);
    assert_eq!(request.len(), HEADER_LEN + REQUEST_LEN);
    assert_eq!(&request[16..20], &[libc::AF_INET6 as u8, libc::IPPROTO_TCP as u8, 2, 0]);
    assert_eq!(u32_at(&request, 20), Some(1 << 1));
    assert_eq!(&request[24..26], &[0x1f, 0x90]);
}

/// Reads a datagram as a look does; the number of steps it took.
fn read(datagram: &[u8]) -> usize {
    Messages::of(datagram)
        .map(|message| {
            if let Ok(Message { body: Body::Socket(bytes), .. }) = message {
                let _ = Socket::parse(bytes);
            }
        })
        .count()
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in vec(any::<u8>(), 0..2048)) {
        prop_assert!(read(&bytes) <= bytes.len() / HEADER_LEN + 1);
        let _ = Socket::parse(&bytes);
    }

    #[test]
    fn a_damaged_answer_is_read_to_an_end(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut datagram = message(BY_FAMILY, 0, 5, &socket_payload(232));
        datagram.extend(message(BY_FAMILY, 0, 5, &socket_payload(104)));
        for (at, value) in damage {
            let at = at.index(datagram.len());
            datagram[at] = value;
        }
        datagram.truncate(cut.index(datagram.len()) + 1);
        prop_assert!(read(&datagram) <= datagram.len() / HEADER_LEN + 1);
    }
}
