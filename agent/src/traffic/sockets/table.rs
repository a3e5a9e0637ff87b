//! The kernel's socket table, asked over netlink. Blocking: for a thread that may wait.

use std::{io, num::NonZeroU16, time::Duration};

use netlink_sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use thiserror::Error;

use super::{
    Namespace, NamespaceError,
    diag::{self, Body, Family, Malformed, Messages, Socket, State},
};

/// The kernel fills no datagram of a dump beyond 32 KiB (`netlink_dump`); with less room it takes more calls.
const DATAGRAM_LEN: usize = 32 * 1024;

/// The kernel answers each receive of a dump at once; a second without one means that no answer will come.
const PATIENCE: Duration = Duration::from_secs(1);

/// A look that was disturbed is made again so often in all: a disturbance is short, and the next look comes soon.
const ATTEMPTS: u32 = 3;

/// A way to ask the kernel for the sockets of a namespace. The netlink socket is kept, so that looking needs no new
/// descriptor when they have run out, and replaced after an error, so that nothing of a broken answer can follow.
pub(super) struct Table {
    namespace: Namespace,
    netlink: Option<Netlink>,
    datagram: Box<[u8]>,
    sequence: u32,
}

impl Table {
    pub(super) fn new(namespace: Namespace) -> Self {
        Self { namespace, netlink: None, datagram: vec![0; DATAGRAM_LEN].into(), sequence: 0 }
    }

    /// Lets go of the namespace that was looked at: the next look is at the one that has its name then.
    pub(super) fn forget(&mut self) {
        self.netlink = None;
    }

    /// Shows `each` all TCP sockets of both families with one of the local `ports` in one of `states`, each
    /// into a value of its own that begins with `start`: a disturbed attempt is thrown away and made anew.
    pub(super) fn fold<T>(
        &mut self,
        ports: &[NonZeroU16],
        states: &[State],
        start: impl FnMut() -> T,
        mut each: impl FnMut(&mut T, &Socket),
    ) -> Result<T, LookError> {
        self.repeat(start, |table, value| {
            for &port in ports {
                for family in Family::BOTH {
                    table.dump(
                        |sequence| diag::request(family, port, states, sequence),
                        |bytes| {
                            each(value, &Socket::parse(bytes)?);
                            Ok(())
                        },
                    )?;
                }
            }
            Ok(())
        })
    }

    /// Shows `each` all sockets that one `request` is answered with, likewise.
    pub(super) fn fold_unix<T>(
        &mut self,
        request: impl Fn(u32) -> Vec<u8>,
        start: impl FnMut() -> T,
        mut each: impl FnMut(&mut T, &[u8]) -> Result<(), Malformed>,
    ) -> Result<T, LookError> {
        self.repeat(start, |table, value| table.dump(&request, |bytes| each(value, bytes)))
    }

    fn repeat<T>(
        &mut self,
        mut start: impl FnMut() -> T,
        mut attempt: impl FnMut(&mut Self, &mut T) -> Result<(), LookError>,
    ) -> Result<T, LookError> {
        let mut attempts = 1;
        loop {
            let mut value = start();
            match attempt(self, &mut value) {
                Ok(()) => return Ok(value),
                Err(error) => {
                    self.netlink = None;
                    if attempts == ATTEMPTS || !error.is_disturbance() {
                        return Err(error);
                    }
                    attempts += 1;
                }
            }
        }
    }

    fn dump(
        &mut self,
        request: impl FnOnce(u32) -> Vec<u8>,
        mut each: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), LookError> {
        self.sequence = self.sequence.wrapping_add(1);
        let netlink = match &self.netlink {
            Some(netlink) => netlink,
            None => self.netlink.insert(self.namespace.within(open)??),
        };
        netlink.send(&request(self.sequence), 0).map_err(LookError::Send)?;
        let mut interrupted = false;
        loop {
            let length = receive(netlink, &mut self.datagram)?;
            for message in Messages::of(&self.datagram[..length]) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.interrupted;
                match message.body {
                    Body::Socket(bytes) => each(bytes)?,
                    Body::Done(0) if interrupted => return Err(LookError::Interrupted),
                    Body::Done(0) => return Ok(()),
                    Body::Done(errno) | Body::Error(errno) if errno != 0 => return Err(refusal(errno)),
                    Body::Overrun => return Err(LookError::Overrun),
                    Body::Done(_) | Body::Error(_) | Body::Other => {}
                }
            }
        }
    }
}

/// Why the socket table could not be read. Then the traffic is unknown, which is not zero.
#[derive(Debug, Error)]
pub enum LookError {
    /// The server's network namespace can't be looked into.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// No netlink socket to be had.
    #[error(
        "no netlink socket for the kernel's socket table: {0} (under systemd, RestrictAddressFamilies= must \
         contain AF_NETLINK)"
    )]
    Open(#[source] io::Error),
    /// No events about connections that end.
    #[error(
        "the kernel does not tell which connections end (expected Linux 4.3 or later): {0}; so it is unknown whether \
         requests come on connections of their own"
    )]
    Subscribe(#[source] io::Error),
    /// The request could not be sent.
    #[error("the kernel did not take the request for its socket table: {0}")]
    Send(#[source] io::Error),
    /// The answer could not be received.
    #[error("the kernel's answer about its socket table could not be read: {0}")]
    Receive(#[source] io::Error),
    /// The kernel refused.
    #[error("the kernel refused to show its socket table: {0}")]
    Refused(#[source] io::Error),
    /// The kernel cannot do it.
    #[error(
        "this kernel cannot show its sockets: expected the module tcp_diag (CONFIG_INET_TCP_DIAG) and, for \
         `server.unix`, unix_diag, found none; load them with `modprobe tcp_diag` and `modprobe unix_diag`"
    )]
    NotSupported,
    /// No answer.
    #[error("the kernel did not answer about its socket table within {} s", PATIENCE.as_secs())]
    NoAnswer,
    /// The table changed under the look, again and again.
    #[error("the kernel's socket table changed while it was read, {ATTEMPTS} times in a row")]
    Interrupted,
    /// Messages were lost, again and again.
    #[error("the kernel's answer about its socket table was lost in part, {ATTEMPTS} times in a row")]
    Overrun,
    /// An answer that is larger than the kernel makes them.
    #[error("the kernel sent {0} bytes about its socket table where at most {DATAGRAM_LEN} were expected")]
    TooLarge(usize),
    /// An answer that is not understood.
    #[error("the kernel's answer about its socket table was not understood: {0}")]
    Malformed(#[from] Malformed),
    /// The thread that looked has ended.
    #[error("the thread that reads the kernel's socket table has ended before it was done")]
    Stopped,
}

impl LookError {
    /// Whether the next attempt may well succeed.
    const fn is_disturbance(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Overrun)
    }
}

fn open() -> Result<Netlink, LookError> {
    let netlink = Netlink::new(NETLINK_SOCK_DIAG).map_err(LookError::Open)?;
    netlink.connect(&NetlinkAddr::new(0, 0)).map_err(LookError::Open)?;
    set_socket_timeout(&netlink, Timeout::Recv, Some(PATIENCE)).map_err(|e| LookError::Open(e.into()))?;
    Ok(netlink)
}

/// One datagram; its length.
fn receive(netlink: &Netlink, datagram: &mut [u8]) -> Result<usize, LookError> {
    loop {
        // MSG_TRUNC: the length that it had, even if that was more than fitted.
        match netlink.recv(&mut &mut *datagram, libc::MSG_TRUNC) {
            Ok(length) if length > datagram.len() => return Err(LookError::TooLarge(length)),
            Ok(length) => return Ok(length),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Err(LookError::NoAnswer),
                Some(libc::ENOBUFS) => return Err(LookError::Overrun),
                _ => return Err(LookError::Receive(error)),
            },
        }
    }
}

fn refusal(errno: i32) -> LookError {
    match errno {
        libc::ENOENT | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => LookError::NotSupported,
        libc::ENOBUFS => LookError::Overrun,
        _ => LookError::Refused(io::Error::from_raw_os_error(errno)),
    }
}
