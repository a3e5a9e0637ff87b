//! The servers of this host: who listens, and in which unit of systemd's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
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
    /// Where it listens, the lowest first.
    pub ports: Vec<u16>,
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

    /// What an agent for it is called: as its unit, or else its program.
    pub fn name(&self) -> String {
        let name = self.unit.as_deref().map_or(self.program.as_str(), stem);
        name.replace('@', "-")
    }
}

/// Every program on this host that listens by TCP and can be seen, in the order of their ports. All are seen by root
/// only. Blocking.
pub fn candidates() -> Result<Vec<Candidate>, NotSeen> {
    let mut ports: HashMap<u64, u16> = HashMap::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(path) {
            Ok(table) => {
                let sockets = table.lines().skip(1).filter_map(listening_socket);
                ports.extend(sockets.map(|(address, inode)| (inode, address.port())));
            }
            // A kernel without IPv6.
            Err(source) if source.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
            Err(source) => return Err(NotSeen { path, source }),
        }
    }
    let processes = fs::read_dir("/proc").map_err(|source| NotSeen { path: "/proc", source })?;
    // Process 1 holds what it has opened for a unit; the unit's own processes hold it, too, once they run.
    let processes = processes.flatten().map(|entry| entry.path()).filter(|path| !path.ends_with("1"));
    Ok(gathered(processes.filter_map(|path| Some((held(&path, &ports)?, path))).map(|(ports, path)| {
        let program = fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_owned();
        let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        (cgroup::service(&cgroup), program, ports)
    })))
}

/// The ports of the sockets that the process at `path` holds; nothing where it holds none.
fn held(path: &Path, ports: &HashMap<u64, u16>) -> Option<BTreeSet<u16>> {
    let inodes = fs::read_dir(path.join("fd")).ok()?.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    let held: BTreeSet<u16> = inodes.filter_map(|inode| ports.get(&inode).copied()).collect();
    (!held.is_empty()).then_some(held)
}

/// All processes of a unit are one server, and so are all of one name that have no unit.
fn gathered(processes: impl Iterator<Item = (Option<String>, String, BTreeSet<u16>)>) -> Vec<Candidate> {
    let mut all: BTreeMap<String, (Option<String>, String, BTreeSet<u16>)> = BTreeMap::new();
    for (unit, program, ports) in processes {
        let key = unit.clone().unwrap_or_else(|| program.clone());
        all.entry(key).or_insert_with(|| (unit, program, BTreeSet::new())).2.extend(ports);
    }
    let all = all.into_values();
    let mut all: Vec<Candidate> = all
        .map(|(unit, program, ports)| Candidate { unit, program, ports: ports.into_iter().collect() })
        .collect();
    all.sort_by(|a, b| a.ports.cmp(&b.ports));
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
            (unit.map(str::to_owned), program.to_owned(), ports.iter().copied().collect())
        };
        let found = gathered(
            [
                of(Some("nginx.service"), "nginx", &[443, 80]),
                of(Some("nginx.service"), "nginx", &[80]),
                of(None, "sshd", &[22]),
            ]
            .into_iter(),
        );
        let named: Vec<_> = found.iter().map(|one| (one.name(), one.ports.clone())).collect();
        assert_eq!(named, [("sshd".to_owned(), vec![22]), ("nginx".to_owned(), vec![80, 443])]);
        assert!(!found[0].is_web_server() && found[1].is_web_server());
    }

    #[test]
    fn a_listener_of_our_own_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = candidates().unwrap();
        assert!(found.iter().any(|one| one.ports.contains(&port)), "{port} is not in {found:?}");
    }
}
