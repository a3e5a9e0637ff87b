//! Messages and sockets over a Unix socket.
//!
//! A message is its length in four bytes, big end first, and JSON. Nothing is read beyond it, because sockets come with
//! a byte that must be received by `recvmsg`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// What 10,000 servers and a million users take, twice over; a bound for a program that is none of ours.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Sockets with one byte; the kernel takes 253 at most.
const SOCKETS_AT_ONCE: usize = 64;

/// Why a message or a socket did not come through.
#[derive(Debug, Error)]
pub enum WireError {
    /// The socket failed, or has ended.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no message.
    #[error("expected a message, found: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is too long to be one.
    #[error("expected a message of at most {MAX_MESSAGE_BYTES} bytes, found {0}")]
    TooLong(usize),
    /// Sockets are missing.
    #[error("expected {expected} sockets, found {found}")]
    TooFewSockets {
        /// As announced.
        expected: usize,
        /// That came.
        found: usize,
    },
}

/// One end.
#[derive(Debug)]
pub(super) struct Wire(UnixStream);

impl Wire {
    /// Must be called on a runtime.
    pub(super) fn new(stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Self)
    }

    /// For messages that come and go at the same time.
    pub(super) fn into_halves(self) -> (Incoming, Outgoing) {
        let (incoming, outgoing) = self.0.into_split();
        (Incoming(incoming), Outgoing(outgoing))
    }

    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), WireError> {
        send(&mut self.0, message).await
    }

    /// Not to be cancelled: what was read is lost then.
    pub(super) async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, WireError> {
        receive(&mut self.0).await
    }

    pub(super) async fn send_sockets(&self, sockets: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        for some in sockets.chunks(SOCKETS_AT_ONCE) {
            let send = || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_AT_ONCE))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                let has_room = ancillary.push(SendAncillaryMessage::ScmRights(some));
                debug_assert!(has_room, "there is room for as many as are sent at once");
                Ok(sendmsg(self.0.as_fd(), &[IoSlice::new(b"s")], &mut ancillary, SendFlags::NOSIGNAL)?)
            };
            self.0.async_io(Interest::WRITABLE, send).await?;
        }
        Ok(())
    }

    pub(super) async fn receive_sockets(&self, count: usize) -> Result<Vec<OwnedFd>, WireError> {
        let mut sockets = Vec::new();
        while sockets.len() < count {
            let receive = || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_AT_ONCE))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let mut byte = [0];
                let mut bytes = [IoSliceMut::new(&mut byte)];
                recvmsg(self.0.as_fd(), &mut bytes, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
                let mut some = Vec::new();
                for message in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(received) = message {
                        some.extend(received);
                    }
                }
                Ok(some)
            };
            let some = self.0.async_io(Interest::READABLE, receive).await?;
            if some.is_empty() {
                return Err(WireError::TooFewSockets { expected: count, found: sockets.len() });
            }
            sockets.extend(some);
        }
        Ok(sockets)
    }
}

/// What comes in at one end.
#[derive(Debug)]
pub(super) struct Incoming(OwnedReadHalf);

impl Incoming {
    /// Not to be cancelled: what was read is lost then.
    pub(super) async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, WireError> {
        receive(&mut self.0).await
    }
}

/// What goes out at one end.
#[derive(Debug)]
pub(super) struct Outgoing(OwnedWriteHalf);

impl Outgoing {
    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), WireError> {
        send(&mut self.0, message).await
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> Result<(), WireError> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= MAX_MESSAGE_BYTES);
    let length = length.ok_or(WireError::TooLong(text.len()))?;
    stream.write_all(&length.to_be_bytes()).await?;
    Ok(stream.write_all(&text).await?)
}

async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<T, WireError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong(length));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::message::Hello;
    use super::*;

    fn pair() -> [Wire; 2] {
        let (one, other) = net::UnixStream::pair().unwrap();
        [one, other].map(|end| Wire::new(end).unwrap())
    }

    #[tokio::test]
    async fn messages_and_more_sockets_than_fit_at_once_come_through_in_their_order() {
        let [mut here, mut there] = pair();
        let listeners: Vec<_> =
            (0..=2 * SOCKETS_AT_ONCE).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let send = async {
            here.send(&Hello { version: 7, joins: true }).await.unwrap();
            let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
            here.send_sockets(&sockets).await.unwrap();
            here.send(&Hello { version: 8, joins: true }).await.unwrap();
        };
        let receive = async {
            let before: Hello = there.receive().await.unwrap();
            let sockets = there.receive_sockets(listeners.len()).await.unwrap();
            let after: Hello = there.receive().await.unwrap();
            assert_eq!((before.version, after.version), (7, 8));
            sockets
        };
        let ((), received) = tokio::join!(send, receive);
        for (sent, received) in listeners.iter().zip(received) {
            let received = TcpListener::from(received);
            assert_eq!(sent.local_addr().unwrap(), received.local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn an_end_and_nonsense_are_told() {
        let [mut here, there] = pair();
        drop(there);
        assert!(matches!(here.receive::<Hello>().await, Err(WireError::Io(_))));
        let [mut here, mut there] = pair();
        there.0.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        assert!(matches!(here.receive::<Hello>().await, Err(WireError::TooLong(_))));
        let [mut here, mut there] = pair();
        there.send(&"hello").await.unwrap();
        assert!(matches!(here.receive::<Hello>().await, Err(WireError::Malformed(_))));
    }
}
