//! Listeners: each address once for every core.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Connections that may wait in the kernel until they are accepted; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address that can't be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another process has it.
    #[error(
        "{address} is taken by another program (or another drain-proxy): stop it (`ss -ltnp` shows it), or set \
         another address in `bind`"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// The system does not give it.
    #[error("can't listen on {address}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// So many listeners on this address, among which the kernel shares out the connections. Port 0 becomes one free
/// port for all.
pub fn listen(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address },
        _ => ListenError::Refused { address, source },
    };
    // With SO_REUSEPORT alone a second proxy would quietly take half of the connections. So the address is first
    // bound without it, which fails if anybody listens there.
    let alone = bind(address, false).map_err(failed)?;
    let address =
        alone.local_addr().and_then(|local| local.as_socket().ok_or(io::ErrorKind::Unsupported.into()));
    drop(alone);
    let address = address.map_err(failed)?;
    (0..count)
        .map(|_| {
            let socket = bind(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect::<io::Result<Vec<TcpListener>>>()
        .map_err(failed)
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart does not wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses here, as in HAProxy.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_gets_a_listener_on_the_same_port() {
        let listeners = listen("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert!(ports.len() == 3 && ports.iter().all(|&port| port == ports[0] && port != 0), "{ports:?}");
    }

    #[test]
    fn what_the_system_says_is_said_once() {
        // An address of documentation, which no machine has.
        let error = anyhow::Error::from(listen("192.0.2.1:80".parse().unwrap(), 1).unwrap_err());
        let text = format!("{error:#}");
        assert_eq!(text.matches("os error").count(), 1, "{text}");
        assert!(text.starts_with("can't listen on 192.0.2.1:80: "), "{text}");
    }

    #[test]
    fn a_second_proxy_on_the_same_port_is_refused() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = first[0].local_addr().unwrap();
        assert!(matches!(listen(address, 2), Err(ListenError::Taken { .. })));
        drop(first);
        assert!(listen(address, 2).is_ok());
    }
}
