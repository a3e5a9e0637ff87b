//! The servers of this host: who listens, and in which unit of systemd's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use crate::{doctor::listening_socket, systemd::cgroup};

/// A program that listens, with all its ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its unit, such as `apache2.service`; `None` where it runs otherwise.
    pub unit: Option<String>,
    /// What its processes are called.
    pub program: String,
    /// Where it listens, the lowest port first.
    pub listens: Vec<SocketAddr>,
}

/// Web servers, as their processes are called: what else listens is not proposed unless it is asked for.
const WEB_SERVERS: [&str; 16] = [
    "apache2",
    "caddy",
    "gunicorn",
    "httpd",
    "java",
    "lighttpd",
    "litespeed",
    "nginx",
    "node",
    "php",
    "puma",
    "python3",
    "traefik",
    "unicorn",
    "uwsgi",
    "varnishd",
];

/// Why it can't be seen who listens.
#[derive(Debug, thiserror::Error)]
#[error("can't read {path}, where the kernel tells who listens: {source}")]
pub struct NotSeen {
    path: &'static str,
    source: io::Error,
}

impl Candidate {
    /// Whether it is a web server, by its name.
    pub fn is_web_server(&self) -> bool {
        WEB_SERVERS.iter().any(|name| self.program.starts_with(name))
    }

    /// Its ports, the lowest first.
    pub fn ports(&self) -> Vec<u16> {
        self.listens.iter().map(SocketAddr::port).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Where it may be asked on this host about `port`, the likeliest first. One that listens on `[::]` may answer IPv4
    /// or not, which only a connection tells.
    pub fn reached_at(&self, port: u16) -> Vec<SocketAddr> {
        let there = self.listens.iter().filter(|address| address.port() == port).map(SocketAddr::ip);
        let mut ips: Vec<IpAddr> = there
            .flat_map(|ip| match ip {
                IpAddr::V4(ip) if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
                IpAddr::V6(ip) if ip.is_unspecified() => {
                    vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
                }
                ip => vec![ip],
            })
            .collect();
        // Loopback before what may be away when a cable is.
        ips.sort_by_key(|ip| (!ip.is_loopback(), *ip));
        ips.dedup();
        ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
    }

    /// What an agent for it is called: as its unit, or else its program.
    pub fn name(&self) -> String {
        let name = self.unit.as_deref().map_or(self.program.as_str(), stem);
        name.replace('@', "-")
    }
}

/// Every program on this host that listens by TCP and can be seen, in the order of their ports. All are seen by root
/// only. Blocking.
pub fn candidates() -> Result<Vec<Candidate>, NotSeen> {
    let mut sockets: HashMap<u64, SocketAddr> = HashMap::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(path) {
            Ok(table) => {
                let listening = table.lines().skip(1).filter_map(listening_socket);
                sockets.extend(listening.map(|(address, inode)| (inode, plain(address))));
            }
            // A kernel without IPv6.
            Err(source) if source.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
            Err(source) => return Err(NotSeen { path, source }),
        }
    }
    let processes = fs::read_dir("/proc").map_err(|source| NotSeen { path: "/proc", source })?;
    // Process 1 holds what it has opened for a unit; the unit's own processes hold it, too, once they run.
    let processes = processes.flatten().map(|entry| entry.path()).filter(|path| !path.ends_with("1"));
    Ok(gathered(processes.filter_map(|path| Some((held(&path, &sockets)?, path))).map(|(listens, path)| {
        let program = fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_owned();
        let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        (cgroup::service(&cgroup), program, listens)
    })))
}

/// An address as it is written elsewhere: one of IPv4 that a socket of IPv6 has, as each of Java's, is one of IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Where the sockets listen that the process at `path` holds; nothing where it holds none.
fn held(path: &Path, sockets: &HashMap<u64, SocketAddr>) -> Option<BTreeSet<SocketAddr>> {
    let inodes = fs::read_dir(path.join("fd")).ok()?.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    let held: BTreeSet<SocketAddr> = inodes.filter_map(|inode| sockets.get(&inode).copied()).collect();
    (!held.is_empty()).then_some(held)
}

/// All processes of a unit are one server, and so are all of one name that have no unit.
fn gathered(
    processes: impl Iterator<Item = (Option<String>, String, BTreeSet<SocketAddr>)>,
) -> Vec<Candidate> {
    let mut all: BTreeMap<String, Candidate> = BTreeMap::new();
    for (unit, program, listens) in processes {
        let key = unit.clone().unwrap_or_else(|| program.clone());
        let one = all.entry(key).or_insert_with(|| Candidate { unit, program, listens: Vec::new() });
        one.listens.extend(listens);
    }
    let mut all: Vec<Candidate> = all.into_values().collect();
    for one in &mut all {
        one.listens.sort_by_key(|address| (address.port(), address.ip()));
        one.listens.dedup();
    }
    all.sort_by_key(Candidate::ports);
    all
}

/// A unit's name without its ending.
fn stem(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn all_processes_of_a_unit_are_one_server() {
        let of = |unit: Option<&str>, program: &str, ports: &[u16]| {
            let listens = ports.iter().map(|port| SocketAddr::from(([0, 0, 0, 0], *port))).collect();
            (unit.map(str::to_owned), program.to_owned(), listens)
        };
        let found = gathered(
            [
                of(Some("nginx.service"), "nginx", &[443, 80]),
                of(Some("nginx.service"), "nginx", &[80]),
                of(None, "sshd", &[22]),
            ]
            .into_iter(),
        );
        let named: Vec<_> = found.iter().map(|one| (one.name(), one.ports())).collect();
        assert_eq!(named, [("sshd".to_owned(), vec![22]), ("nginx".to_owned(), vec![80, 443])]);
        assert!(!found[0].is_web_server() && found[1].is_web_server());
    }

    #[test]
    fn a_listener_of_our_own_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = candidates().unwrap();
        assert!(found.iter().any(|one| one.listens.contains(&address)), "{address} is not in {found:?}");
    }

    #[test]
    fn an_address_of_ipv4_is_told_as_such_whatever_socket_has_it() {
        for (address, expected) in
            [("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080"), ("[::1]:80", "[::1]:80"), ("[::]:80", "[::]:80")]
        {
            assert_eq!(plain(address.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn a_server_is_asked_where_it_listens() {
        for (listens, expected) in [
            (&["0.0.0.0:80"][..], &["127.0.0.1:80"][..]),
            (&["[::]:80"], &["127.0.0.1:80", "[::1]:80"]),
            (&["10.0.0.11:80"], &["10.0.0.11:80"]),
            (&["10.0.0.11:80", "127.0.0.1:80"], &["127.0.0.1:80", "10.0.0.11:80"]),
            (&["10.0.0.11:81"], &[]),
        ] {
            let listens = listens.iter().map(|text| text.parse().unwrap()).collect();
            let one = Candidate { unit: None, program: "nginx".to_owned(), listens };
            let reached: Vec<String> = one.reached_at(80).iter().map(ToString::to_string).collect();
            assert_eq!(reached, expected, "{one:?}");
        }
    }
}
