//! The kernel's `unix_diag` messages: what is asked and what comes back. Pure: bytes in, values out.
//!
//! Layouts: `linux/unix_diag.h`. As in [`diag`](super::super::diag), no length is believed unseen.

use super::super::diag::{Malformed, State, array_at, attribute, dump, u32_at};

/// `struct unix_diag_msg`.
const SOCKET_LEN: usize = 16;

/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID`.
const SHOW: u32 = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x40;

/// `UNIX_DIAG_NAME` and so on.
const NAME: u16 = 0;
const VFS: u16 = 1;
const PEER: u16 = 2;
const PENDING: u16 = 3;
const QUEUES: u16 = 4;
const UID: u16 = 7;

/// One of the kernel's unix sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct UnixSocket<'a> {
    /// Connected, or listening.
    pub(super) state: State,
    /// Its inode.
    pub(super) inode: u32,
    /// Tells it from every other socket since the host's start.
    pub(super) cookie: u64,
    /// The path as it was given to bind(2); a connection has its listener's. Empty: none.
    pub(super) name: &'a [u8],
    /// Inode and device of the file at that path.
    pub(super) file: Option<(u32, u32)>,
    /// The peer's inode; 0 where the peer has gone.
    pub(super) peer: u32,
    /// Of a listener: the inodes of those whose connections wait to be accepted; 0 where one has gone.
    pending: &'a [u8],
    /// Bytes that have come and were not read.
    pub(super) receive_queue: u32,
    /// Memory of what was written and the peer has not read.
    pub(super) send_queue: u32,
    /// User who made it (kernel 5.3; 0 before).
    pub(super) uid: u32,
}

impl<'a> UnixSocket<'a> {
    /// Reads `struct unix_diag_msg` and the attributes that follow it.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let short = Malformed("a unix socket's message is too short");
        let (fixed, mut attributes) = message.split_at_checked(SOCKET_LEN).ok_or(short)?;
        let number = |at| u32_at(fixed, at).ok_or(short);
        let mut socket = Self {
            state: State::of(fixed[2]),
            inode: number(4)?,
            cookie: u64::from(number(8)?) | u64::from(number(12)?) << 32,
            name: &[],
            file: None,
            peer: 0,
            pending: &[],
            receive_queue: 0,
            send_queue: 0,
            uid: 0,
        };
        while !attributes.is_empty() {
            let (kind, value, rest) = attribute(attributes)?;
            match kind {
                NAME => socket.name = value.split(|b| *b == 0).next().unwrap_or_default(),
                VFS => socket.file = u32_at(value, 0).zip(u32_at(value, 4)),
                PEER => socket.peer = u32_at(value, 0).unwrap_or(0),
                PENDING => socket.pending = value,
                QUEUES => {
                    socket.receive_queue = u32_at(value, 0).unwrap_or(0);
                    socket.send_queue = u32_at(value, 4).unwrap_or(0);
                }
                UID => socket.uid = u32_at(value, 0).unwrap_or(0),
                _ => {}
            }
            attributes = rest;
        }
        Ok(socket)
    }

    /// The inodes of those whose connections wait to be accepted; 0 for each that has gone.
    pub(super) fn pending(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.pending.chunks_exact(4).filter_map(|chunk| array_at(chunk, 0)).map(u32::from_ne_bytes)
    }
}

/// A request for all unix stream sockets in one of `states`: the kernel can't leave out any by its path.
pub(super) fn request(states: &[State], sequence: u32) -> Vec<u8> {
    let mask = states.iter().fold(0u32, |mask, state| mask | 1 << state.number());
    let mut body = vec![libc::AF_UNIX as u8, 0, 0, 0];
    body.extend(mask.to_ne_bytes());
    body.extend([0; 4]); // whatever inode
    body.extend(SHOW.to_ne_bytes());
    body.extend([0xff; 8]); // INET_DIAG_NOCOOKIE
    dump(&body, sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((4 + value.len() as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![libc::AF_UNIX as u8, 1, 1, 0];
        bytes.extend(4711u32.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(1u32.to_ne_bytes());
        bytes.extend(attributes.concat());
        bytes
    }

    #[test]
    fn every_attribute_is_read() {
        let two = |a: u32, b: u32| [a.to_ne_bytes(), b.to_ne_bytes()].concat();
        let bytes = message(&[
            attribute_of(NAME, b"/run/app.sock\0"),
            attribute_of(VFS, &two(12, 34)),
            attribute_of(PEER, &9u32.to_ne_bytes()),
            attribute_of(PENDING, &two(5, 0)),
            attribute_of(QUEUES, &two(100, 200)),
            attribute_of(UID, &33u32.to_ne_bytes()),
            attribute_of(99, b"newer"),
        ]);
        let socket = UnixSocket::parse(&bytes).unwrap();
        assert_eq!((socket.state, socket.inode, socket.cookie), (State::Established, 4711, 7 | 1 << 32));
        assert_eq!((socket.name, socket.file, socket.peer), (&b"/run/app.sock"[..], Some((12, 34)), 9));
        assert_eq!(socket.pending().collect::<Vec<_>>(), [5, 0]);
        assert_eq!((socket.receive_queue, socket.send_queue, socket.uid), (100, 200, 33));
    }

    #[test]
    fn a_socket_without_a_path_has_none() {
        let bytes = message(&[attribute_of(NAME, b"\0abstract")]);
        assert_eq!(UnixSocket::parse(&bytes).unwrap().name, b"");
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_refused_or_read_without_what_is_missing() {
        let bytes = message(&[attribute_of(NAME, b"/run/app.sock"), attribute_of(QUEUES, &[1; 8])]);
        for length in 0..bytes.len() {
            let _ = UnixSocket::parse(&bytes[..length]);
        }
        assert!(UnixSocket::parse(&bytes[..SOCKET_LEN - 1]).is_err());
    }
}
