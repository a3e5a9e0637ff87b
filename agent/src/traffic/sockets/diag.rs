//! The kernel's `sock_diag` messages: what is asked and what comes back. Pure: bytes in, values out.
//!
//! Layouts: `linux/netlink.h`, `linux/sock_diag.h`, `linux/inet_diag.h` and `struct tcp_info` in
//! `linux/tcp.h`. Numbers are in the host's byte order, ports in the network's. No length in a message is
//! believed before it is compared with what is there.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use thiserror::Error;

/// `struct nlmsghdr`.
const HEADER_LEN: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST_LEN: usize = 56;
/// `struct inet_diag_msg`.
const SOCKET_LEN: usize = 72;
/// `struct rtattr`.
const ATTRIBUTE_LEN: usize = 4;
/// Messages and attributes begin at multiples of it (`NLMSG_ALIGNTO`, `RTA_ALIGNTO`).
const ALIGN: usize = 4;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_INFO`: the attribute that holds `struct tcp_info`.
const INFO: u16 = 2;
/// The upper bits of an attribute's type are flags (`NLA_TYPE_MASK`).
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// An address family that can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`, IPv4 connections to a socket that listens on both included.
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    const fn number(self) -> u8 {
        match self {
            Self::V4 => libc::AF_INET as u8,
            Self::V6 => libc::AF_INET6 as u8,
        }
    }
}

/// A TCP state, as `idiag_state` numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Open in both directions.
    Established,
    /// The server has closed its direction; the peer has not acknowledged all of it.
    FinWait1,
    /// It has ended.
    Closed,
    /// The peer has closed its direction.
    CloseWait,
    /// The peer closed first, then the server; the peer has not acknowledged all of it.
    LastAck,
    /// Waits for connections.
    Listen,
    /// Both closed at once; the peer has not acknowledged all of it.
    Closing,
    /// Another one, by its number.
    Other(u8),
}

impl State {
    pub(super) const fn of(number: u8) -> Self {
        match number {
            1 => Self::Established,
            4 => Self::FinWait1,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            other => Self::Other(other),
        }
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::FinWait1 => 4,
            Self::Closed => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
            Self::Other(number) => number,
        }
    }

    /// Whether the peer's FIN has come.
    pub const fn peer_has_closed(self) -> bool {
        matches!(self, Self::CloseWait | Self::Closing | Self::LastAck)
    }

    /// Whether the server's FIN is on its way.
    pub const fn server_has_closed(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }
}

/// One of the kernel's TCP sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Socket {
    /// Its state.
    pub state: State,
    /// The server's end; an IPv4 address in IPv6's clothes is given as IPv4.
    pub local: SocketAddr,
    /// The peer's end, likewise.
    pub remote: SocketAddr,
    /// Tells it from every other socket since the host's start.
    pub cookie: u64,
    /// Bytes that have come and were not read; the peer's FIN counts as one. Of a listener: connections that
    /// wait to be accepted.
    pub receive_queue: u32,
    /// Bytes that were written and are not acknowledged; the own FIN counts as one.
    pub send_queue: u32,
    /// User who made it.
    pub uid: u32,
    /// Its inode; 0 while it belongs to no process: not accepted yet, or closed.
    pub inode: u32,
    /// What the kernel knows beyond.
    pub info: Info,
}

/// What the verdict needs of `struct tcp_info`. Ages are in the kernel's ticks (4 ms at HZ=250), so two events
/// in one tick have the same age. Older kernels send less: what they don't send is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// `tcpi_bytes_received`; the peer's FIN counts as one (kernel 4.1).
    pub bytes_received: Option<u64>,
    /// `tcpi_data_segs_out` (kernel 4.6).
    pub data_segments_out: Option<u32>,
    /// `tcpi_last_data_sent`: since then. Counts from the accept where nothing was ever sent.
    pub last_data_sent: Option<Duration>,
    /// `tcpi_last_data_recv`: since then. Counts from the accept where nothing ever came.
    pub last_data_received: Option<Duration>,
    /// `tcpi_last_ack_recv`: since then.
    pub last_ack_received: Option<Duration>,
}

impl Info {
    fn parse(bytes: &[u8]) -> Self {
        let age = |at| u32_at(bytes, at).map(|ms| Duration::from_millis(ms.into()));
        Self {
            last_data_sent: age(44),
            last_data_received: age(52),
            last_ack_received: age(56),
            bytes_received: u64_at(bytes, 128),
            data_segments_out: u32_at(bytes, 156),
        }
    }
}

impl Socket {
    /// Whether a process holds it.
    pub const fn is_held(&self) -> bool {
        self.inode != 0
    }

    /// Reads `struct inet_diag_msg` and the attributes that follow it.
    pub(super) fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let (fixed, mut attributes) =
            message.split_at_checked(SOCKET_LEN).ok_or(Malformed("a socket's message is too short"))?;
        let address = |at: usize| -> Option<IpAddr> {
            match i32::from(fixed[0]) {
                libc::AF_INET => array_at(fixed, at).map(|a: [u8; 4]| Ipv4Addr::from(a).into()),
                libc::AF_INET6 => array_at(fixed, at).map(|a: [u8; 16]| Ipv6Addr::from(a).to_canonical()),
                _ => None,
            }
        };
        let port = |at| array_at(fixed, at).map(u16::from_be_bytes);
        let end = |address_at, port_at| Some(SocketAddr::new(address(address_at)?, port(port_at)?));
        let number = |at| u32_at(fixed, at).ok_or(Malformed("a socket's message is too short"));
        let mut socket = Self {
            state: State::of(fixed[1]),
            local: end(8, 4).ok_or(Malformed("a socket has an unknown address family"))?,
            remote: end(24, 6).ok_or(Malformed("a socket has an unknown address family"))?,
            cookie: u64::from(number(44)?) | u64::from(number(48)?) << 32,
            receive_queue: number(56)?,
            send_queue: number(60)?,
            uid: number(64)?,
            inode: number(68)?,
            info: Info::default(),
        };
        while !attributes.is_empty() {
            let (kind, value, rest) = attribute(attributes)?;
            if kind == INFO {
                socket.info = Info::parse(value);
            }
            attributes = rest;
        }
        Ok(socket)
    }

    #[cfg(test)]
    pub(super) fn example(state: State) -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        Self {
            state,
            local,
            remote: local,
            cookie: 1,
            receive_queue: 0,
            send_queue: 0,
            uid: 0,
            inode: 1,
            info: Info::default(),
        }
    }
}

/// One message of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Message<'a> {
    /// The sequence number of the request that it answers.
    pub(super) sequence: u32,
    /// The kernel says that the table changed under the dump (`NLM_F_DUMP_INTR`).
    pub(super) interrupted: bool,
    pub(super) body: Body<'a>,
}

/// What a message holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Body<'a> {
    /// For [`Socket::parse`].
    Socket(&'a [u8]),
    /// The end of the dump, with the number of the error that ended it; 0: none.
    Done(i32),
    /// The request was refused with this error number; 0 is an acknowledgement.
    Error(i32),
    /// Data was lost (`NLMSG_OVERRUN`).
    Overrun,
    /// Nothing that concerns us.
    Other,
}

/// The messages of one datagram, in their order. Ends after the first malformed one.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(super) const fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }

    fn split(datagram: &'a [u8]) -> Result<(Message<'a>, &'a [u8]), Malformed> {
        let cut = Malformed("a message's header is cut off");
        let header: [u8; HEADER_LEN] = array_at(datagram, 0).ok_or(cut)?;
        let length = u32_at(&header, 0).ok_or(cut)? as usize;
        let payload = datagram
            .get(HEADER_LEN..length)
            .ok_or(Malformed("a message's length is smaller than its header or larger than the datagram"))?;
        let rest = datagram.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        let errno = || array_at(payload, 0).map(i32::from_ne_bytes).map(i32::wrapping_abs);
        let body = match u16_at(&header, 4).ok_or(cut)? {
            BY_FAMILY => Body::Socket(payload),
            kind if i32::from(kind) == libc::NLMSG_DONE => Body::Done(errno().unwrap_or(0)),
            kind if i32::from(kind) == libc::NLMSG_ERROR => {
                Body::Error(errno().ok_or(Malformed("an error message has no number"))?)
            }
            kind if i32::from(kind) == libc::NLMSG_OVERRUN => Body::Overrun,
            _ => Body::Other,
        };
        let flags = u16_at(&header, 6).ok_or(cut)?;
        let message = Message {
            sequence: u32_at(&header, 8).ok_or(cut)?,
            interrupted: flags & libc::NLM_F_DUMP_INTR as u16 != 0,
            body,
        };
        Ok((message, rest))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (message, rest) =
            Self::split(self.0).map_or_else(|e| (Err(e), &[][..]), |(m, rest)| (Ok(m), rest));
        self.0 = rest;
        Some(message)
    }
}

/// A request for all TCP sockets of `family` with the local `port`, in one of `states`, with their
/// `tcp_info`. The kernel itself leaves the other ports out.
pub(super) fn request(family: Family, port: NonZeroU16, states: &[State], sequence: u32) -> Vec<u8> {
    let mask = states.iter().fold(0u32, |mask, state| mask | 1 << state.number());
    let mut body = vec![family.number(), libc::IPPROTO_TCP as u8, 1 << (INFO - 1), 0];
    body.extend(mask.to_ne_bytes());
    body.extend(port.get().to_be_bytes());
    body.resize(REQUEST_LEN, 0); // any peer, any address, any interface
    dump(&body, sequence)
}

/// The message that asks for a dump by `body`, a family's own request.
pub(super) fn dump(body: &[u8], sequence: u32) -> Vec<u8> {
    let length = HEADER_LEN + body.len();
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // from whom: the kernel fills it in
    message.extend(body);
    message
}

/// What came from the kernel is not what it says it sends. Says what was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

/// The first attribute: its type, its value, and the attributes behind it.
pub(super) fn attribute(attributes: &[u8]) -> Result<(u16, &[u8], &[u8]), Malformed> {
    let cut = Malformed("an attribute's header is cut off");
    let length = usize::from(u16_at(attributes, 0).ok_or(cut)?);
    let kind = u16_at(attributes, 2).ok_or(cut)? & ATTRIBUTE_TYPE_MASK;
    let value = attributes
        .get(ATTRIBUTE_LEN..length)
        .ok_or(Malformed("an attribute's length is smaller than its header or larger than its message"))?;
    let rest = attributes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    Ok((kind, value, rest))
}

pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests;
