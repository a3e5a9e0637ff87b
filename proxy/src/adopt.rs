//! Sockets with which the process was started, by their numbers (HAProxy: `bind fd@3`): programs that start a proxy
//! listen for it.

use std::{io, net::TcpListener, sync::Arc};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::SockRef;

use crate::{
    config::Config,
    listen::{Bound, ListenError},
};

/// The listening socket of this number. It is another descriptor of the same socket: the one with the number stays open
/// as long as the process.
pub(crate) fn listener(number: i32) -> io::Result<TcpListener> {
    // The kernel gives a descriptor for a number, which nothing else may be trusted to be one.
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = TcpListener::from(pidfd_getfd(own, number, PidfdGetfdFlags::empty())?);
    if !SockRef::from(&socket).is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Those of the configuration that are not `known`, for so many cores, which all accept from the one socket.
pub(crate) fn adopted(config: &Config, cores: usize, known: &[Bound]) -> Result<Vec<Bound>, ListenError> {
    let mut adopted = Vec::new();
    for frontend in &config.frontends {
        for &(number, address) in &frontend.descriptors {
            if known.iter().any(|bound| bound.configured == address) {
                continue;
            }
            let socket = listener(number).map_err(|source| ListenError::Refused { address, source })?;
            let socket = Arc::new(socket);
            let sockets = vec![socket; cores];
            adopted.push(Bound { configured: address, frontend: frontend.name.clone(), sockets });
        }
    }
    Ok(adopted)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn a_socket_is_found_by_its_number() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = listener(socket.as_raw_fd()).unwrap();
        assert_eq!(found.local_addr().unwrap(), address);
        let client = TcpStream::connect(address).unwrap();
        assert!(listener(client.as_raw_fd()).is_err());
        assert!(listener(i32::MAX).is_err());
        let text = format!(
            "frontend.web = {{ bind = [\"fd@{}\"], backend = \"shop\" }}\nbackend.shop = {{ server = [] }}\n",
            socket.as_raw_fd()
        );
        let config = Config::parse("test.toml", &text, &|_, _| Ok(Vec::new())).unwrap();
        let bound = adopted(&config, 2, &[]).unwrap();
        assert_eq!((bound[0].configured, bound[0].sockets.len()), (address, 2));
        assert!(adopted(&config, 2, &bound).unwrap().is_empty());
    }
}
