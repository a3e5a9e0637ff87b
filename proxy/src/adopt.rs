//! Sockets with which the process was started, by their numbers (HAProxy: `fd@3`): programs that start a proxy
//! listen for it.

use std::{io, net::TcpListener, os::fd::OwnedFd, sync::Arc};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::{Domain, Socket};

use crate::{
    config::Config,
    listen::{Bound, ListenError},
};

/// The listening socket of this number to which clients come by TCP. It is another descriptor of the same socket: the
/// one with the number stays open as long as the process.
pub(crate) fn listener(number: i32) -> io::Result<TcpListener> {
    let (socket, domain) = listening(number)?;
    if domain == Domain::UNIX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a unix socket"));
    }
    Ok(socket.into())
}

/// The listening socket of this number, likewise, with its domain.
pub(crate) fn listening(number: i32) -> io::Result<(OwnedFd, Domain)> {
    // The kernel gives a descriptor for a number, which nothing else may be trusted to be one.
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = Socket::from(pidfd_getfd(own, number, PidfdGetfdFlags::empty())?);
    if !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket.set_nonblocking(true)?;
    let domain = socket.domain()?;
    Ok((socket.into(), domain))
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
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};

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
        let unix = UnixListener::bind_addr(
            &UnixAddress::from_abstract_name(format!("drain-adopt-{}", std::process::id())).unwrap(),
        )
        .unwrap();
        assert!(listener(unix.as_raw_fd()).is_err());
        assert_eq!(listening(unix.as_raw_fd()).unwrap().1, Domain::UNIX);
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
