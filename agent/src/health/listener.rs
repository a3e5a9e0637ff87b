//! A socket that listens, and the next connection of it.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::{Interest, unix::AsyncFd};

/// A socket that listens on this runtime.
pub(super) type Listener = AsyncFd<TcpListener>;

/// Brings a socket that listens to the present runtime.
pub(super) fn adopt(listener: TcpListener) -> io::Result<Listener> {
    listener.set_nonblocking(true)?;
    #[expect(deprecated, reason = "sound for a socket that owns its descriptor; what follows it is unsafe")]
    AsyncFd::with_interest(listener, Interest::READABLE)
}

/// The next connection. It is not entered in the runtime: most never need to be waited for.
pub(super) async fn next(listener: &Listener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let mut ready = listener.readable().await?;
        let accept = |listener: &Listener| {
            Ok(acceptfrom_with(listener.get_ref(), SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?)
        };
        let Ok(accepted) = ready.try_io(accept) else { continue };
        let (stream, source) = accepted?;
        let source = source.and_then(|source| source.try_into().ok());
        let source = source.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        return Ok((stream.into(), source));
    }
}

/// Whether an error of accept(2) concerns the one connection only, so that the next may be well. Linux passes pending
/// network errors of the new socket on.
pub(super) fn of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}
