//! Listeners: each address once for every core.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::Config;

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

/// All that the process listens on.
///
/// An address has a listener for each core, among which the kernel shares out the connections (`SO_REUSEPORT`). Closing
/// one of them resets the connections that wait in it; so each that there is stays as long as its address, whatever
/// number of cores accepts from it: with fewer cores than listeners a core accepts from several.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Bound>);

/// An address that is listened on.
#[derive(Clone, Debug)]
pub struct Bound {
    /// As the configuration has it, which may leave the port to the system.
    pub configured: SocketAddr,
    /// The frontend that it belongs to.
    pub frontend: Arc<str>,
    /// At least one for each core.
    pub sockets: Vec<Arc<TcpListener>>,
}

impl Listeners {
    /// Listens on all addresses of the configuration, for so many cores. What `known` has is taken from there, and what
    /// is lacking is added. Nothing has changed where it fails.
    pub fn open(config: &Config, cores: usize, known: &Self) -> Result<Self, ListenError> {
        let mut left: Vec<&Bound> = known.0.iter().collect();
        let mut bound = Vec::new();
        for frontend in &config.frontends {
            for &configured in &frontend.bind {
                let place = left.iter().position(|known| known.configured == configured);
                let mut sockets =
                    place.map(|place| left.swap_remove(place).sockets.clone()).unwrap_or_default();
                if sockets.is_empty() {
                    // One of its own may be in the way until it is closed.
                    let beside = known.0.iter().any(|known| known.configured.port() == configured.port());
                    sockets = listen(configured, cores, beside)?;
                } else {
                    sockets.extend(add(&sockets[0], cores.saturating_sub(sockets.len()))?);
                }
                bound.push(Bound { configured, frontend: frontend.name.clone(), sockets });
            }
        }
        Ok(Self(bound))
    }

    /// What was open before.
    pub fn inherited(bound: Vec<Bound>) -> Self {
        Self(bound)
    }

    /// Each address.
    pub fn bound(&self) -> &[Bound] {
        &self.0
    }

    /// What one of so many cores accepts from, each with its frontend's name.
    pub fn of_core(&self, core: usize, cores: usize) -> Vec<(Arc<str>, Arc<TcpListener>)> {
        let of_core = |bound: &Bound| {
            let sockets = bound.sockets.iter().skip(core).step_by(cores).cloned();
            sockets.map(|socket| (bound.frontend.clone(), socket)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_core).collect()
    }

    /// Closes all, as far as no core has them.
    pub fn close(&mut self) {
        self.0.clear();
    }
}

/// Each address as people know it: `web on 0.0.0.0:80`.
impl fmt::Display for Listeners {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, bound) in self.0.iter().enumerate() {
            let address = bound.sockets[0].local_addr().unwrap_or(bound.configured);
            let comma = if index > 0 { ", " } else { "" };
            write!(out, "{comma}{} on {address}", bound.frontend)?;
        }
        Ok(())
    }
}

/// One listener on this address, which belongs to no frontend. `beside`: one of our own may be there.
pub fn single(address: SocketAddr, beside: bool) -> Result<TcpListener, ListenError> {
    let mut sockets = listen(address, 1, beside)?;
    let socket = sockets.pop().and_then(Arc::into_inner);
    socket.ok_or_else(|| ListenError::Refused { address, source: io::ErrorKind::Other.into() })
}

/// So many listeners on this address. Port 0 becomes one free port for all. `beside`: one of our own that shares the
/// address may be there.
fn listen(address: SocketAddr, count: usize, beside: bool) -> Result<Vec<Arc<TcpListener>>, ListenError> {
    let failed = failure(address);
    let mut address = address;
    if !beside || address.port() == 0 {
        // With SO_REUSEPORT alone a second proxy would quietly take half of the connections. So the address is first
        // bound without it, which fails if anybody listens there.
        let alone = bind(address, false).map_err(failed)?;
        let bound =
            alone.local_addr().and_then(|local| local.as_socket().ok_or(io::ErrorKind::Unsupported.into()));
        drop(alone);
        address = bound.map_err(failed)?;
    }
    shared(address, count).map_err(failed)
}

/// So many more beside this one.
fn add(to: &TcpListener, count: usize) -> Result<Vec<Arc<TcpListener>>, ListenError> {
    let unknown = |source| ListenError::Refused { address: (Ipv4Addr::UNSPECIFIED, 0).into(), source };
    let address = to.local_addr().map_err(unknown)?;
    shared(address, count).map_err(failure(address))
}

fn shared(address: SocketAddr, count: usize) -> io::Result<Vec<Arc<TcpListener>>> {
    let one = |_| {
        let socket = bind(address, true)?;
        socket.listen(BACKLOG)?;
        Ok(Arc::new(socket.into()))
    };
    (0..count).map(one).collect()
}

fn failure(address: SocketAddr) -> impl Fn(io::Error) -> ListenError + Copy {
    move |source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken { address },
        _ => ListenError::Refused { address, source },
    }
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

    fn config(bind: &str) -> Config {
        let text = format!(
            "frontend.web = {{ bind = [{bind}], backend = \"shop\" }}\n\
             [[backend.shop.server]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n"
        );
        Config::parse("test.toml", &text, &|_, _| Ok(Vec::new())).unwrap()
    }

    fn open(bind: &str, cores: usize, known: &Listeners) -> Result<Listeners, ListenError> {
        Listeners::open(&config(bind), cores, known)
    }

    const ANY: &str = r#""127.0.0.1:0""#;

    fn address(listeners: &Listeners) -> SocketAddr {
        listeners.bound()[0].sockets[0].local_addr().unwrap()
    }

    #[test]
    fn each_core_gets_a_listener_on_the_same_port() {
        let listeners = open(ANY, 3, &Listeners::default()).unwrap();
        let of_cores: Vec<_> = (0..3).flat_map(|core| listeners.of_core(core, 3)).collect();
        let port = address(&listeners).port();
        assert!(of_cores.len() == 3 && port != 0);
        assert!(of_cores.iter().all(|(frontend, socket)| {
            **frontend == *"web" && socket.local_addr().unwrap().port() == port
        }));
    }

    #[test]
    fn what_the_system_says_is_said_once() {
        // An address of documentation, which no machine has.
        let error = open(r#""192.0.2.1:80""#, 1, &Listeners::default()).unwrap_err();
        let text = format!("{:#}", anyhow::Error::from(error));
        assert_eq!(text.matches("os error").count(), 1, "{text}");
        assert!(text.starts_with("can't listen on 192.0.2.1:80: "), "{text}");
    }

    #[test]
    fn a_second_proxy_on_the_same_port_is_refused() {
        let first = open(ANY, 2, &Listeners::default()).unwrap();
        let same = format!(r#""{}""#, address(&first));
        assert!(matches!(open(&same, 2, &Listeners::default()), Err(ListenError::Taken { .. })));
        drop(first);
        assert!(open(&same, 2, &Listeners::default()).is_ok());
    }

    #[test]
    fn an_address_that_stays_keeps_its_sockets_for_any_number_of_cores() {
        let three = open(ANY, 3, &Listeners::default()).unwrap();
        let known = |listeners: &Listeners, of: &[Arc<TcpListener>]| {
            of.iter()
                .filter(|socket| listeners.bound()[0].sockets.iter().any(|s| Arc::ptr_eq(s, socket)))
                .count()
        };
        let fewer = open(ANY, 2, &three).unwrap();
        let of_cores: Vec<_> = (0..2).map(|core| fewer.of_core(core, 2).len()).collect();
        assert_eq!(of_cores, [2, 1]);
        assert_eq!(known(&fewer, &three.bound()[0].sockets), 3);
        let more = open(ANY, 5, &fewer).unwrap();
        assert_eq!((known(&more, &three.bound()[0].sockets), more.bound()[0].sockets.len()), (3, 5));
        assert_eq!(address(&more), address(&three));
    }

    #[test]
    fn one_of_its_own_is_in_nobodys_way() {
        let one = open(ANY, 1, &Listeners::default()).unwrap();
        let port = address(&one).port();
        let known = Listeners(vec![Bound { configured: address(&one), ..one.bound()[0].clone() }]);
        let wider = open(&format!(r#""0.0.0.0:{port}""#), 1, &known).unwrap();
        assert_eq!(address(&wider).port(), port);
    }
}
