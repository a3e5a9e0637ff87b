//! Requests on connections that have come and gone between two looks.
//!
//! A request of 5 ms on a connection of its own is met by one look in fifty. But the kernel tells everybody who
//! subscribes of each TCP socket that ends, with its `tcp_info`; it needs no privilege. At 7,000 closed connections
//! a second that costs the host a tenth of its throughput, so there is a subscription only in a drain, and while looks
//! come close upon each other for other reasons.

use std::{
    io,
    num::NonZeroU16,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use netlink_sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use socket2::{SockFilter, SockRef};
use tokio::sync::watch;

use super::{
    Doors, Looks,
    diag::{Body, Messages, Socket},
    table::LookError,
};
use crate::{clock::Moment, traffic::LastWord};

/// What ends between looks that are no further apart is told, whatever they are made for.
const CLOSE: Duration = Duration::from_secs(2);

/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY` (kernel 4.3).
const GROUPS: [u32; 2] = [1, 3];

/// One event has 0.4 KiB.
const DATAGRAM_LEN: usize = 4096;

/// So many events are read in one look: the kernel's buffer holds 166 of them.
const MOST: usize = 1024;

/// Where `idiag_sport` stands in an event.
const LOCAL_PORT_AT: u32 = 20;

/// Where events arrive, for those who wait for one; nothing where there is no subscription.
pub(super) type Arrivals = watch::Sender<Option<Arc<OwnedFd>>>;

/// The subscription, and what is known from it.
pub(super) struct Ended {
    netlink: Option<Netlink>,
    arrivals: Arrivals,
    datagram: Vec<u8>,
    looked: Option<Moment>,
}

impl Ended {
    /// Nothing is known; `arrivals` learns of each subscription.
    pub(super) fn new(arrivals: Arrivals) -> Self {
        Self { netlink: None, arrivals, datagram: Vec::new(), looked: None }
    }

    /// Ends the subscription.
    pub(super) fn forget(&mut self) {
        self.netlink = None;
        self.looked = None;
        self.arrivals.send_if_modified(|arrivals| arrivals.take().is_some());
    }

    /// The last word on connections to these `doors`' ports that have ended since the last call; `None` where there was
    /// none. Not wholly known where there was no subscription, or so many have ended that events were lost, or are left
    /// for the next call. What is `own` is left out.
    pub(super) fn since_last(
        &mut self,
        doors: &Doors,
        looks: Looks,
        now: Moment,
        mut own: impl FnMut(&Socket) -> bool,
    ) -> Result<Option<LastWord>, LookError> {
        if doors.ports.is_empty() {
            return Ok(None);
        }
        let is_close = self.looked.is_some_and(|looked| now.since(looked) <= CLOSE);
        self.looked = Some(now);
        if looks == Looks::Seldom && !is_close {
            self.forget();
            self.looked = Some(now);
            return Ok(Some(LastWord::UNKNOWN));
        }
        let Some(netlink) = &self.netlink else {
            self.datagram.resize(DATAGRAM_LEN, 0);
            let netlink = doors.namespace.within(|| subscribe(&doors.ports))?;
            let netlink = netlink.map_err(LookError::Subscribe)?;
            // Who can't be woken looks regularly.
            self.arrivals.send_replace(netlink.as_fd().try_clone_to_owned().ok().map(Arc::new));
            self.netlink = Some(netlink);
            return Ok(Some(LastWord::UNKNOWN));
        };
        let mut last: Option<LastWord> = None;
        let with_unknown =
            |last: Option<LastWord>| Some(last.map_or(LastWord::UNKNOWN, LastWord::and_unknown));
        for _ in 0..MOST {
            let length = match netlink.recv(&mut &mut *self.datagram, libc::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(last),
                    Some(libc::EINTR) => continue,
                    Some(libc::ENOBUFS) => {
                        last = with_unknown(last);
                        continue;
                    }
                    _ => {
                        self.forget();
                        return Err(LookError::Receive(error));
                    }
                },
            };
            for message in Messages::of(&self.datagram[..length]) {
                let Body::Socket(bytes) = message?.body else { continue };
                let socket = Socket::parse(bytes)?;
                let ours = doors.ports.iter().any(|port| port.get() == socket.local.port());
                if let Some(silent) = last_word(&socket).filter(|_| ours && !own(&socket)) {
                    last = Some(last.map_or(LastWord::Ago(silent), |last| last.with(silent)));
                }
            }
        }
        Ok(with_unknown(last))
    }
}

/// How long ago the last word was said on a connection that has ended; `None` where nothing was ever asked.
fn last_word(socket: &Socket) -> Option<Duration> {
    let info = &socket.info;
    // The peer's FIN counts as one byte.
    if info.bytes_received.is_some_and(|bytes| bytes <= 1) {
        return None;
    }
    match (info.last_data_received, info.last_data_sent) {
        (Some(received), Some(sent)) => Some(received.min(sent)),
        _ => Some(Duration::ZERO),
    }
}

fn subscribe(ports: &[NonZeroU16]) -> io::Result<Netlink> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind(&NetlinkAddr::new(0, 0))?;
    // Before the first event: what is not about our ports shall not fill the buffer.
    if let Some(filter) = filter(ports) {
        SockRef::from(&netlink).attach_filter(&filter)?;
    }
    for group in GROUPS {
        netlink.add_membership(group)?;
    }
    Ok(netlink)
}

/// A program for the kernel that lets only events about `ports` pass; `None` where they are too many for one.
fn filter(ports: &[NonZeroU16]) -> Option<Vec<SockFilter>> {
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let count = u8::try_from(ports.len()).ok()?;
    let mut program = vec![SockFilter::new(LOAD_HALF, 0, 0, LOCAL_PORT_AT)];
    // Over the ports that are left and over the refusal.
    let jumps = (1..=count).rev();
    program.extend(
        ports
            .iter()
            .zip(jumps)
            .map(|(port, jump)| SockFilter::new(JUMP_IF_EQUAL, jump, 0, port.get().into())),
    );
    program.extend([SockFilter::new(RETURN, 0, 0, 0), SockFilter::new(RETURN, 0, 0, u32::MAX)]);
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::sockets::diag::{Info, State};

    fn ended(bytes_received: u64) -> Socket {
        let ms = |ms| Some(Duration::from_millis(ms));
        let info = Info {
            bytes_received: Some(bytes_received),
            last_data_received: ms(70),
            last_data_sent: ms(60),
            ..Info::default()
        };
        Socket { info, ..Socket::example(State::Closed) }
    }

    #[test]
    fn a_connection_on_which_nothing_was_asked_was_no_request() {
        assert_eq!(last_word(&ended(0)), None);
        assert_eq!(last_word(&ended(1)), None, "the FIN");
        assert_eq!(last_word(&ended(2)), Some(Duration::from_millis(60)));
    }

    #[test]
    fn looks_that_are_far_apart_know_nothing_of_the_time_between_them() {
        let (mut ended, port) = (Ended::new(Arrivals::new(None)), NonZeroU16::MAX);
        let mut look = |s| {
            let now = Moment::from_boot(Duration::from_secs(s));
            ended.since_last(&Doors::at_ports(&[port]), Looks::Seldom, now, |_| false).unwrap()
        };
        assert_eq!(look(100), Some(LastWord::UNKNOWN));
        assert_eq!(look(101), Some(LastWord::UNKNOWN), "the subscription begins here");
        assert_eq!(look(102), None);
        assert_eq!(look(112), Some(LastWord::UNKNOWN));
    }

    #[test]
    fn in_a_drain_the_time_between_looks_is_known_however_far_they_are_apart() {
        let (mut ended, port) = (Ended::new(Arrivals::new(None)), NonZeroU16::MAX);
        let mut look = |s, looks| {
            let now = Moment::from_boot(Duration::from_secs(s));
            ended.since_last(&Doors::at_ports(&[port]), looks, now, |_| false).unwrap()
        };
        assert_eq!(look(100, Looks::InARow), Some(LastWord::UNKNOWN), "the subscription begins at once");
        assert_eq!(look(104, Looks::InARow), None, "each look takes a second");
        assert_eq!(look(144, Looks::InARow), None, "or ten");
        assert_eq!(look(184, Looks::Seldom), Some(LastWord::UNKNOWN));
    }
}
