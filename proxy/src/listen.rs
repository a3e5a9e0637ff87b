//! Listeners: each address once for every core.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Weak};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
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

impl ListenError {
    /// With what the system said, on one line.
    pub fn with_source(&self) -> String {
        let source = std::error::Error::source(self).map(|source| format!(": {source}")).unwrap_or_default();
        format!("{self}{source}")
    }
}

/// All that the process listens on.
///
/// Sockets that systemd holds (`drain-proxy.socket`) stay open while there is no proxy: who comes then waits in them. All
/// cores accept from the one that there is of each address, for one of our own beside it would end with the process.
///
/// An address has a listener for each core, among which the kernel shares out the connections (`SO_REUSEPORT`). Closing
/// one of them resets the connections that wait in it; so each that there is stays as long as its address, whatever
/// number of cores accepts from it: with fewer cores than listeners a core accepts from several.
#[derive(Debug, Default)]
pub struct Listeners {
    bound: Vec<Bound>,
    /// Those that the configuration has no more, with their ports: a core has them as long as somebody waits there.
    leaving: Vec<(u16, Weak<TcpListener>)>,
}

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
    /// is lacking is added. `beside`: another process of the same user may listen there, and is about to go. Nothing has
    /// changed where it fails.
    pub fn open(config: &Config, cores: usize, known: &Self, beside: bool) -> Result<Self, ListenError> {
        let mut left: Vec<&Bound> = known.bound.iter().collect();
        let mut bound = Vec::new();
        for frontend in &config.frontends {
            for &configured in &frontend.bind {
                let place = left.iter().position(|known| known.configured == configured);
                let mut sockets =
                    place.map(|place| left.swap_remove(place).sockets.clone()).unwrap_or_default();
                if sockets.is_empty() {
                    // One of its own may be in the way until it is closed.
                    let beside = beside || known.has_near(configured.port());
                    sockets = listen(configured, cores, beside)?;
                } else {
                    sockets.extend(add(&sockets[0], cores.saturating_sub(sockets.len()))?);
                }
                bound.push(Bound { configured, frontend: frontend.name.clone(), sockets });
            }
        }
        let gone = left.iter().flat_map(|gone| gone.sockets.iter().map(|s| (gone.configured.port(), s)));
        let mut leaving: Vec<_> = gone.map(|(port, socket)| (port, Arc::downgrade(socket))).collect();
        leaving.extend(known.leaving.iter().filter(|(_, socket)| socket.strong_count() > 0).cloned());
        Ok(Self { bound, leaving })
    }

    /// Whether one of its own has this port, or has had it and is not closed yet.
    fn has_near(&self, port: u16) -> bool {
        self.bound.iter().any(|known| known.configured.port() == port)
            || self.leaving.iter().any(|(of, socket)| *of == port && socket.strong_count() > 0)
    }

    /// What systemd hands over to this process, as far as `config` listens there; with the addresses of those that the
    /// configuration does not have. They can be taken once.
    pub fn activated(config: &Config) -> (Self, Vec<SocketAddr>) {
        // listenfd would take them from whom no process is named, too; systemd always names one.
        let mut handed =
            if std::env::var_os("LISTEN_PID").is_some() { ListenFd::from_env() } else { ListenFd::empty() };
        let sockets = (0..handed.len()).filter_map(|index| handed.take_tcp_listener(index).ok().flatten());
        Self::handed_over(config, sockets)
    }

    fn handed_over(config: &Config, sockets: impl Iterator<Item = TcpListener>) -> (Self, Vec<SocketAddr>) {
        let mut surplus = Vec::new();
        let mut bound: Vec<Bound> = Vec::new();
        for socket in sockets {
            let Ok(held) = socket.local_addr() else { continue };
            let wanted = config.frontends.iter().find_map(|frontend| {
                let configured = frontend.bind.iter().find(|configured| holds(held, **configured))?;
                Some((*configured, frontend.name.clone()))
            });
            let Some((configured, frontend)) = wanted else {
                surplus.push(held);
                continue;
            };
            let socket = Arc::new(socket);
            match bound.iter_mut().find(|known| known.configured == configured) {
                Some(known) => known.sockets.push(socket),
                None => bound.push(Bound { configured, frontend, sockets: vec![socket] }),
            }
        }
        (Self::inherited(bound), surplus)
    }

    /// What was open before.
    pub fn inherited(bound: Vec<Bound>) -> Self {
        Self { bound, leaving: Vec::new() }
    }

    /// Each address.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The places of these that are not among its own.
    pub fn without(&self, known: &[Bound]) -> Vec<usize> {
        let first = |bound: &Bound| bound.sockets.first().map(Arc::as_ptr);
        let is_there = |known: &Bound| self.bound.iter().any(|bound| first(bound) == first(known));
        known.iter().enumerate().filter(|(_, known)| !is_there(known)).map(|(place, _)| place).collect()
    }

    /// Closes those in these places, as far as no core has them.
    pub fn leave(&mut self, places: &[usize]) {
        let mut place = 0..;
        self.bound.retain(|_| !place.next().is_some_and(|place| places.contains(&place)));
    }

    /// What one of so many cores accepts from, each with its frontend's name.
    pub fn of_core(&self, core: usize, cores: usize) -> Vec<(Arc<str>, Arc<TcpListener>)> {
        let of_core = |bound: &Bound| {
            let sockets = bound.sockets.iter().skip(core).step_by(cores).cloned();
            sockets.map(|socket| (bound.frontend.clone(), socket)).collect::<Vec<_>>()
        };
        self.bound.iter().flat_map(of_core).collect()
    }

    /// Closes all, as far as no core has them.
    pub fn close(&mut self) {
        self.bound.clear();
    }
}

/// Each address as people know it: `web on 0.0.0.0:80`.
impl fmt::Display for Listeners {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, bound) in self.bound.iter().enumerate() {
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

/// Whether a socket at `held` takes what comes to `configured`: systemd listens on both families at once where nothing
/// but a port is given.
fn holds(held: SocketAddr, configured: SocketAddr) -> bool {
    let everywhere = held.is_ipv6() && held.ip().is_unspecified();
    let same = held.ip().to_canonical() == configured.ip().to_canonical();
    held.port() == configured.port() && (same || everywhere && configured.ip().is_unspecified())
}

/// So many more beside this one; where nobody may listen beside it, itself.
fn add(to: &Arc<TcpListener>, count: usize) -> Result<Vec<Arc<TcpListener>>, ListenError> {
    if !SockRef::from(&**to).reuse_port().unwrap_or(false) {
        return Ok(vec![Arc::clone(to); count]);
    }
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
        Listeners::open(&config(bind), cores, known, false)
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
    fn an_address_comes_back_while_somebody_still_waits_at_its_closing_listener() {
        let again = format!(r#""{}""#, address(&open(ANY, 1, &Listeners::default()).unwrap()));
        let first = open(&again, 1, &Listeners::default()).unwrap();
        let (of_a_core, port) = (first.of_core(0, 1), address(&first).port());
        let other = open(ANY, 1, &first).unwrap();
        drop(first);
        assert!(matches!(open(&again, 1, &Listeners::default()), Err(ListenError::Taken { .. })));
        assert!(open(&again, 1, &other).is_ok());
        drop(of_a_core);
        assert!(!other.has_near(port));
    }

    #[test]
    fn an_address_that_another_configuration_does_not_have_is_told_by_its_place() {
        let mut three =
            open(r#""127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0""#, 2, &Listeners::default()).unwrap();
        let other = open(r#""127.0.0.3:0", "127.0.0.4:0", "127.0.0.1:0""#, 2, &three).unwrap();
        assert_eq!(other.without(three.bound()), [1]);
        three.leave(&[1]);
        let left: Vec<_> = three.bound().iter().map(|bound| bound.configured.ip().to_string()).collect();
        assert_eq!(left, ["127.0.0.1", "127.0.0.3"]);
        assert!(other.without(three.bound()).is_empty());
    }

    #[test]
    fn what_systemd_holds_is_shared_by_all_cores_and_not_bound_beside() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = held.local_addr().unwrap();
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let strange = stranger.local_addr().unwrap();
        let config = config(&format!(r#""{at}""#));
        let (known, surplus) = Listeners::handed_over(&config, [held, stranger].into_iter());
        assert_eq!(surplus, [strange]);
        let listeners = Listeners::open(&config, 3, &known, false).unwrap();
        let socket = &listeners.bound()[0].sockets[0];
        for core in 0..3 {
            let of_core = listeners.of_core(core, 3);
            assert!(of_core.len() == 1 && Arc::ptr_eq(&of_core[0].1, socket), "core {core}");
        }
        let again = Listeners::open(&config, 4, &listeners, false).unwrap();
        assert_eq!(again.bound()[0].sockets.len(), 4, "over a reload as well");
    }

    #[test]
    fn a_port_alone_in_a_socket_unit_holds_every_address_of_both_families() {
        let holds = |held: &str, configured: &str| holds(held.parse().unwrap(), configured.parse().unwrap());
        assert!(
            holds("[::]:80", "0.0.0.0:80")
                && holds("[::]:80", "[::]:80")
                && holds("0.0.0.0:80", "0.0.0.0:80")
        );
        assert!(!holds("0.0.0.0:80", "[::]:80") && !holds("[::]:80", "0.0.0.0:81"));
        assert!(!holds("[::]:80", "10.0.0.1:80"), "whoever binds one address does not want them all");
    }

    #[test]
    fn one_of_its_own_is_in_nobodys_way() {
        let one = open(ANY, 1, &Listeners::default()).unwrap();
        let port = address(&one).port();
        let known = Listeners::inherited(vec![Bound { configured: address(&one), ..one.bound()[0].clone() }]);
        let wider = open(&format!(r#""0.0.0.0:{port}""#), 1, &known).unwrap();
        assert_eq!(address(&wider).port(), port);
    }
}
