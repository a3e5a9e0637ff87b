//! A receiver of syslog over UDP.

use std::net::{SocketAddr, UdpSocket};

use crate::{PATIENCE, place::Place};

/// Longer lines are cut by their senders.
const LONGEST: usize = 4096;

/// One receiver.
#[derive(Debug)]
pub struct Syslog(UdpSocket);

impl Syslog {
    /// It receives, and where.
    pub fn start() -> (Self, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let address = socket.local_addr().expect("an address");
        (Self(socket), address)
    }

    /// The next line.
    #[track_caller]
    pub fn line(&self, place: &Place, what: &str) -> String {
        let mut buffer = [0; LONGEST];
        match self.0.recv(&mut buffer) {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Err(error) => place.fail(&format!("no line of {what}: {error}")),
        }
    }
}
