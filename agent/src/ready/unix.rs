//! The probe of a server behind a unix socket of which nothing else is known: it takes a connection.
//!
//! As with TCP, the kernel takes it in the server's stead until the backlog is full.

use std::{io, path::Path};

use tokio::net::UnixSocket;

use super::ProbeError;
use crate::traffic::sockets::Own;

/// Connects to the socket at `path`.
pub(super) async fn probe(path: &Path, own: &Own) -> Result<(), ProbeError> {
    connect(path, own).await.map_err(|error| {
        let at = path.display().to_string();
        match error.kind() {
            io::ErrorKind::WouldBlock => ProbeError::Full { at },
            _ => ProbeError::unconnected(at, error),
        }
    })
}

async fn connect(path: &Path, own: &Own) -> io::Result<()> {
    let socket = UnixSocket::new_stream()?;
    let entry = own.enter_unix(&socket)?;
    let stream = socket.connect(path).await?;
    drop(entry);
    drop(stream);
    Ok(())
}
