//! What the log tests play on: a web server of their own, and two balancers with the same frontends before it.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
};

use drain_tests::{PATIENCE, Place, child::Child, place, port, scripted};

/// A frontend that both balancers have, each with its own words for the log.
#[derive(Clone, Debug)]
pub(super) struct Frontend {
    pub(super) name: &'static str,
    pub(super) backend: &'static str,
    /// HAProxy's lines for it.
    pub(super) haproxy: String,
    /// Ours.
    pub(super) ours: String,
}

/// A balancer with these frontends, each on a port of its own.
pub(super) struct Balancer {
    pub(super) child: Child,
    addresses: Vec<(&'static str, SocketAddr)>,
}

impl Balancer {
    /// HAProxy, which logs by UDP to `syslog`. `servers`: the backends' names and lines.
    pub(super) fn haproxy(
        place: &Place,
        frontends: &[Frontend],
        syslog: SocketAddr,
        backends: &[(&str, String)],
    ) -> Self {
        let addresses = addresses(frontends);
        let mut text = format!(
            "global\n  log {syslog} local0\n  log-tag lb\n  nbthread 1\n  maxconn 100\ndefaults\n  mode http\n  log global\n  \
             timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  retries 0\n\
             frontend probe\n  no log\n  bind {}\n  default_backend {}\n",
            addresses[frontends.len()].1,
            frontends[0].backend,
        );
        for (frontend, (_, address)) in frontends.iter().zip(&addresses) {
            let Frontend { name, backend, haproxy, .. } = frontend;
            text += &format!("frontend {name}\n  bind {address}\n  default_backend {backend}\n{haproxy}");
        }
        for (name, lines) in backends {
            text += &format!("backend {name}\n{lines}");
        }
        let file = place.dir().join("haproxy.cfg");
        fs::write(&file, text).expect("write haproxy.cfg");
        let mut command = place.command("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        Self::start(place, "haproxy", command, addresses)
    }

    /// drain-proxy; `backends`: their tables without the head.
    pub(super) fn ours(place: &Place, frontends: &[Frontend], backends: &[(&str, String)]) -> Self {
        let addresses = addresses(frontends);
        let mut text = format!(
            "[limits]\nthreads = 1\n\n[frontend.probe]\nbind = \"{}\"\nbackend = \"{}\"\n",
            addresses[frontends.len()].1,
            frontends[0].backend,
        );
        for (frontend, (_, address)) in frontends.iter().zip(&addresses) {
            let Frontend { name, backend, ours, .. } = frontend;
            text += &format!("\n[frontend.{name}]\nbind = \"{address}\"\nbackend = \"{backend}\"\n{ours}");
        }
        for (name, lines) in backends {
            text += &format!("\n[backend.{name}]\n{lines}");
        }
        let file = place.dir().join("proxy.toml");
        fs::write(&file, text).expect("write proxy.toml");
        let mut command = place.command(place::built("drain-proxy"));
        command.arg("-f").arg(&file);
        Self::start(place, "drain-proxy", command, addresses)
    }

    fn start(
        place: &Place,
        name: &str,
        command: std::process::Command,
        addresses: Vec<(&'static str, SocketAddr)>,
    ) -> Self {
        let child = Child::start(place, place.dir(), name, command, |_| false);
        // A frontend that logs nothing: a connection without a request would have a line.
        let (_, probe) = addresses[addresses.len() - 1];
        place.wait_for(&format!("{name} to listen"), PATIENCE, || {
            TcpStream::connect(probe).map(drop).map_err(|e| e.to_string())
        });
        Self { child, addresses }
    }

    pub(super) fn address(&self, frontend: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == frontend).expect("a frontend of the test").1
    }
}

/// One for each frontend, and one for the probe.
fn addresses(frontends: &[Frontend]) -> Vec<(&'static str, SocketAddr)> {
    frontends.iter().map(|frontend| frontend.name).chain(["probe"]).map(|name| (name, port::free())).collect()
}

/// Sends the bytes on a connection of its own, and reads all that comes. Who sends no whole head closes its half.
pub(super) fn send(to: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    if !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(answer)
}

/// A web server that answers as the path says: `/500` with that status, `/die` not at all.
pub(super) fn web_server() -> SocketAddr {
    scripted::start(|request, connection| {
        let line = request.line();
        if line.contains(" /die ") {
            return None;
        }
        let status = if line.contains(" /500 ") { "500 Boo" } else { "200 OK" };
        let body = if line.starts_with("HEAD") { "" } else { "ok" };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: 2\r\nserver: x \"y\" {{z}}\r\nx-a: one\r\nx-a: two|\r\n\
             set-cookie: SESSION=abc def, more; path=/\r\nset-cookie: SESSION=second\r\n\r\n{body}"
        );
        connection.send(answer.as_bytes()).ok()
    })
}

/// The lines in a file.
pub(super) fn lines_of(path: &Path) -> Vec<String> {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).lines().map(str::to_owned).collect()
}
