//! The probe of a server of which nothing is known but its port: it accepts a connection.
//!
//! The kernel accepts in a server's stead until its backlog is full, so a server that listens and hangs passes.
//! Who wants more configures a URL.

use std::{io, net::SocketAddr, num::NonZeroU16};

use tokio::{net::TcpStream, task::spawn_blocking};

use super::ProbeError;
use crate::traffic::sockets::{Doors, Listener, Own};

/// Connects to `address`. Where that is a loopback address and refuses, the server may listen on another
/// address of this host alone: then to that one.
pub(super) async fn probe(address: SocketAddr, own: &Own) -> Result<(), ProbeError> {
    let refused = match connect(address, own).await {
        Ok(()) => return Ok(()),
        Err(error) => ProbeError::unconnected(address.to_string(), error),
    };
    if !address.ip().is_loopback() || !matches!(refused, ProbeError::Refused { .. }) {
        return Err(refused);
    }
    for other in elsewhere(address).await {
        if connect(other, own).await.is_ok() {
            return Ok(());
        }
    }
    Err(refused)
}

async fn connect(address: SocketAddr, own: &Own) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let _entry = own.enter(stream.local_addr()?, stream.peer_addr()?);
    drop(stream);
    Ok(())
}

/// The other addresses on which somebody listens on the same port. Nobody, if the kernel does not tell.
async fn elsewhere(address: SocketAddr) -> Vec<SocketAddr> {
    let Some(port) = NonZeroU16::new(address.port()) else { return Vec::new() };
    let listeners = spawn_blocking(move || Listener::all(&Doors::at_ports(&[port]))).await;
    let listeners = listeners.ok().and_then(Result::ok).unwrap_or_default();
    listeners.iter().filter_map(Listener::reachable_at).filter(|other| *other != address).collect()
}
