//! Connections that have their answer and wait for their end.
//!
//! A close with unread bytes in the receive buffer sends a reset, and that can overtake and destroy the answer. So only
//! our side is closed at first, and the rest some time later, when the other side has long read its answer; what has
//! come until then is thrown away. Nobody is woken for that: the next round of the sweep does it.

use std::{io, io::Read, net::TcpStream};

use super::request::HEAD_BYTES;

/// How much is read and thrown away at the end: whoever sends more is no balancer.
const THROWN_AWAY_BYTES: usize = 64 * 1024;

/// A connection that has its answer. Its other half is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Answered {
    stream: TcpStream,
    /// In which round it was answered.
    pub(super) round: u64,
}

impl Answered {
    pub(super) const fn new(stream: TcpStream, round: u64) -> Self {
        Self { stream, round }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        let mut chunk = [0; HEAD_BYTES];
        let mut left = THROWN_AWAY_BYTES;
        while left > 0 {
            match (&self.stream).read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
