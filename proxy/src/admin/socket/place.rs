//! Where commands come from: a socket as it is configured, listened on.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener as StdUnixListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::Domain;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;

use super::file::{FileError, SocketFile};
use super::peer::{Peer, Stream};
use crate::adopt;
use crate::config::{AdminPlace, AdminSocket};
use crate::listen::{self, ListenError};

/// How often a name is asked for that another process still has.
const TAKEN_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no socket for commands.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Its file can't be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its address can't be had.
    #[error("admin.socket: {}", .0.with_source())]
    Address(#[from] ListenError),
    /// Another program has its name.
    #[error("the admin socket abns@{name} is taken by another program: stop it, or give another name")]
    Taken {
        /// The name.
        name: Arc<str>,
    },
    /// The system does not give it.
    #[error("can't listen on the admin socket {at}: {source}")]
    Refused {
        /// As configured.
        at: AdminPlace,
        /// What was said.
        source: io::Error,
    },
}

/// A socket that is listened on, or will be.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    pub(in crate::admin) settings: AdminSocket,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listener {
    Unix(StdUnixListener),
    Tcp(StdTcpListener),
    /// Another process has the name, and is about to go.
    Awaited(UnixAddress),
}

impl Bound {
    /// Listens as the configuration says. `beside`: an earlier process, or this one, may listen there and is about to go.
    pub fn open(settings: &AdminSocket, beside: bool) -> Result<Self, SocketError> {
        let refused = |source| SocketError::Refused { at: settings.at.clone(), source };
        let mut file = None;
        let listener = match &settings.at {
            AdminPlace::File(path) => {
                let (listener, made) = SocketFile::make(path, settings)?;
                file = Some(made);
                Listener::Unix(listener)
            }
            AdminPlace::Abstract(name) => {
                let address = at_name(name).map_err(refused)?;
                match named(&address) {
                    Ok(listener) => Listener::Unix(listener),
                    Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(refused(error)),
                    Err(_) if beside => Listener::Awaited(address),
                    Err(_) => return Err(SocketError::Taken { name: name.clone() }),
                }
            }
            AdminPlace::Address(address) => Listener::Tcp(listen::single(*address, beside)?),
            AdminPlace::Descriptor(number) => inherited(*number).map_err(refused)?,
        };
        Ok(Self { listener, settings: settings.clone(), file })
    }

    /// As HAProxy's `show cli sockets` has it: with its family.
    pub fn name(&self) -> String {
        let found = match &self.listener {
            Listener::Unix(listener) => listener.local_addr().ok().and_then(|address| name_of(&address)),
            Listener::Tcp(listener) => listener.local_addr().ok().map(|address| match address {
                SocketAddr::V4(address) => format!("ipv4@{address}"),
                SocketAddr::V6(address) => format!("ipv6@{address}"),
            }),
            Listener::Awaited(address) => name_of(address),
        };
        match &self.settings.at {
            // Its own name is the one from before it was put in its place.
            AdminPlace::File(path) => format!("unix@{}", path.display()),
            _ => found.unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// What it accepts from, once that is there, and what must stay until nothing is accepted any more. Must be called on
    /// a runtime.
    pub(super) async fn listening(self) -> io::Result<(Listening, Option<SocketFile>)> {
        let listening = match self.listener {
            Listener::Unix(listener) => Listening::Unix(UnixListener::from_std(listener)?),
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Listening::Tcp(TcpListener::from_std(listener)?)
            }
            Listener::Awaited(address) => Listening::Unix(UnixListener::from_std(freed(&address).await?)?),
        };
        Ok((listening, self.file))
    }
}

/// What connections are accepted from.
pub(super) enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listening {
    /// The next one who connects.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::of(&stream);
                Ok((Box::new(stream), peer))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Without it an answer in two parts waits for the client's acknowledgement.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), Peer::At(address)))
            }
        }
    }
}

/// Listens under a name that is nowhere in the file system.
fn named(address: &UnixAddress) -> io::Result<StdUnixListener> {
    let listener = StdUnixListener::bind_addr(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The same, as soon as nobody else has the name.
async fn freed(address: &UnixAddress) -> io::Result<StdUnixListener> {
    loop {
        match named(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => sleep(TAKEN_PAUSE).await,
            other => return other,
        }
    }
}

/// With what the process was started.
fn inherited(number: u16) -> io::Result<Listener> {
    let (socket, domain) = adopt::listening(number.into())?;
    Ok(if domain == Domain::UNIX { Listener::Unix(socket.into()) } else { Listener::Tcp(socket.into()) })
}

/// The address of a name that is in no file system. As HAProxy's `abns@` has it, it has all the length that there is, with
/// zeroes at the end: whoever connects there does the same.
pub fn at_name(name: &str) -> io::Result<UnixAddress> {
    UnixAddress::from_abstract_name(format!("{name:\0<length$}", length = AdminPlace::LONGEST_NAME))
}

fn name_of(address: &UnixAddress) -> Option<String> {
    let in_file = || address.as_pathname().map(|path| format!("unix@{}", path.display()));
    let text = |name: &[u8]| format!("abns@{}", String::from_utf8_lossy(name).trim_end_matches('\0'));
    address.as_abstract_name().map(text).or_else(in_file)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn settings(at: AdminPlace) -> AdminSocket {
        AdminSocket::new(at)
    }

    #[test]
    fn an_inherited_socket_is_told_by_its_address_whatever_its_family() {
        let tcp = StdTcpListener::bind("127.0.0.1:0").unwrap();
        let at = tcp.local_addr().unwrap();
        let bound = Bound::open(&settings(AdminPlace::Descriptor(tcp.as_raw_fd() as u16)), false).unwrap();
        assert_eq!(bound.name(), format!("ipv4@{at}"));
        let name = format!("drain-inherited-{}", std::process::id());
        let unix = named(&at_name(&name).unwrap()).unwrap();
        let bound = Bound::open(&settings(AdminPlace::Descriptor(unix.as_raw_fd() as u16)), false).unwrap();
        assert_eq!(bound.name(), format!("abns@{name}"));
        assert!(Bound::open(&settings(AdminPlace::Descriptor(u16::MAX)), false).is_err());
    }

    #[test]
    fn a_port_is_taken_by_one_program_only_unless_one_of_its_own_is_about_to_go() {
        let free = StdTcpListener::bind("127.0.0.1:0").unwrap();
        let at = free.local_addr().unwrap();
        drop(free);
        let bound = Bound::open(&settings(AdminPlace::Address(at)), false).unwrap();
        TcpStream::connect(at).unwrap();
        assert!(matches!(
            Bound::open(&bound.settings, false),
            Err(SocketError::Address(ListenError::Taken { .. }))
        ));
        assert!(Bound::open(&bound.settings, true).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_another_process_is_about_to_give_up_is_waited_for() {
        let name = format!("drain-awaited-{}", std::process::id());
        let socket = settings(AdminPlace::Abstract(name.as_str().into()));
        let first = Bound::open(&socket, false).unwrap();
        assert_eq!(first.name(), format!("abns@{name}"));
        assert!(matches!(Bound::open(&socket, false), Err(SocketError::Taken { .. })));
        let next = Bound::open(&socket, true).unwrap();
        assert_eq!(next.name(), first.name());
        let waiting = tokio::spawn(next.listening());
        sleep(3 * TAKEN_PAUSE).await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(matches!(waiting.await.unwrap().unwrap(), (Listening::Unix(_), None)));
        assert!(UnixStream::connect_addr(&at_name(&name).unwrap()).is_err());
    }
}
