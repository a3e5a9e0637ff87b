//! An HAProxy and a drain-proxy before the same servers, with a backend for each setting.

use std::{collections::BTreeMap, fmt::Write as _, fs, net::SocketAddr, path::PathBuf};

use drain_tests::{
    PATIENCE, Place,
    child::Child,
    client::Connection,
    place::{self, holds},
    port,
};

use super::{
    cases::{BARE, DYNAMIC, Request, SETTINGS, Setting},
    echo::WANTED,
};

/// The servers of every backend.
pub(super) struct Servers {
    /// It takes every new user; its cookie is `A`.
    pub(super) a: SocketAddr,
    /// It takes only its own users; its cookie is `B`.
    pub(super) b: SocketAddr,
    /// It is down for its check, and alive; its cookie is `D`.
    pub(super) down: SocketAddr,
    /// A backup without a cookie.
    pub(super) bare: SocketAddr,
}

/// Both.
pub(super) struct Pair {
    place: Place,
    haproxy: Child,
    /// Ends with it.
    _ours: Child,
    access_log: PathBuf,
    /// Of each setting: HAProxy's address and ours.
    addresses: Vec<[SocketAddr; 2]>,
}

impl Pair {
    pub(super) fn start(place: &Place, servers: &Servers) -> Self {
        let addresses: Vec<[SocketAddr; 2]> = SETTINGS.iter().map(|_| [port::free(), port::free()]).collect();
        // Nobody listens there: what is checked at it is down.
        let dead = port::free();
        let dir = place.subdir("pair");
        let config = dir.join("haproxy.cfg");
        fs::write(&config, haproxy_config(&addresses, servers, dead)).expect("write haproxy.cfg");
        let mut command = place.command("haproxy");
        command.arg("-db").arg("-f").arg(&config);
        let haproxy = Child::start(place, &dir, "haproxy", command, |line| line.contains("segfault"));
        let access_log = dir.join("access.log");
        let config = dir.join("proxy.toml");
        let text = proxy_config(&addresses, servers, dead, &access_log.display().to_string());
        fs::write(&config, text).expect("write proxy.toml");
        let mut command = place.command(place::built("drain-proxy"));
        command.arg("-f").arg(&config);
        let ours = Child::start(place, &dir, "proxy", command, |line| line.contains("panicked at"));
        let pair = Self { place: place.clone(), haproxy, _ours: ours, access_log, addresses };
        pair.wait_until_checked();
        pair
    }

    /// What both do with a request, as text; the number stands in its target.
    pub(super) fn ask(&self, setting: usize, number: usize, request: &Request) -> [String; 2] {
        self.addresses[setting].map(|address| ask(address, number, request).unwrap_or_else(|error| error))
    }

    /// What both have logged of so many requests' cookies, by number.
    pub(super) fn finish(self, count: usize) -> [BTreeMap<usize, String>; 2] {
        let last = count - 1;
        self.place.wait_for("the last requests in both logs", PATIENCE, || {
            let there = self.logs().map(|log| letters(&log).contains_key(&last));
            holds(there == [true; 2], || format!("{there:?}"))
        });
        self.logs().map(|log| letters(&log))
    }

    fn logs(&self) -> [String; 2] {
        [self.haproxy.log_text(), fs::read_to_string(&self.access_log).unwrap_or_default()]
    }

    /// Until nobody sends a user of the server that is down to it, in the backend before the last.
    fn wait_until_checked(&self) {
        let request =
            Request { method: "GET", path: "/", cookies: vec!["cookie: SID=D".to_owned()], answer: "" };
        for (setting, addresses) in SETTINGS.iter().zip(&self.addresses) {
            let wanted = if setting.name == BARE { "\nbare\n" } else { "\na\n" };
            // Some of them send such users there on purpose.
            if setting.haproxy.contains("persist") {
                continue;
            }
            for address in addresses {
                self.place.wait_for("a server to be down for its checks", PATIENCE, || {
                    let got = ask(*address, usize::MAX, &request)?;
                    holds(got.contains(wanted), || got.clone())
                });
            }
        }
    }
}

fn ask(address: SocketAddr, number: usize, request: &Request) -> Result<String, String> {
    let Request { method, path, cookies, answer } = request;
    let mut text = format!("{method} {path}?n={number} HTTP/1.1\r\nhost: h\r\n");
    for line in cookies {
        let _ = write!(text, "{line}\r\n");
    }
    if *method == "POST" {
        text.push_str("content-length: 0\r\n");
    }
    let _ = write!(text, "{WANTED}{answer}\r\n\r\n");
    let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
    connection.send(text.as_bytes()).map_err(|error| error.to_string())?;
    let got = connection.receive(method).map_err(|error| error.to_string())?;
    let fields: String = got.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    Ok(format!("{}\n{fields}\n{}", got.status, String::from_utf8_lossy(&got.body)))
}

/// The third and the fourth letter of the termination, by the number in the target.
fn letters(log: &str) -> BTreeMap<usize, String> {
    let of_line = |line: &str| {
        let number = line.split("?n=").nth(1)?.split(' ').next()?.parse().ok()?;
        let state = line.split(" - - ").nth(1)?.get(..4)?;
        Some((number, state.to_owned()))
    };
    log.lines().filter_map(of_line).collect()
}

/// With one thread: HAProxy gives a line up rather than wait for another thread that is writing one.
fn haproxy_config(addresses: &[[SocketAddr; 2]], servers: &Servers, dead: SocketAddr) -> String {
    let mut text = "global
    log stdout format raw local0
    nbthread 1
defaults
    mode http
    log global
    option httplog
    option redispatch
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"
    .to_owned();
    for (Setting { name, haproxy, .. }, [address, _]) in SETTINGS.iter().zip(addresses) {
        let lines = haproxy.replace(";;", "\n    ");
        let cookie = |id: &str| if *name == DYNAMIC { String::new() } else { format!("cookie {id}") };
        let (id_a, id_b, id_d) = (cookie("A"), cookie("B"), cookie("D"));
        let (check, Servers { a, b, down, bare }) =
            (is_down(*name == BARE, dead, "check addr 127.0.0.1 port "), servers);
        let _ = write!(
            text,
            "listen {name}
    bind {address}
    balance roundrobin
    {lines}
    server a {a} {id_a} {check}
    server b {b} {id_b} weight 0 {check}
    server d {down} {id_d} check port {port} inter 200ms fall 1
    server bare {bare} backup
",
            port = dead.port()
        );
    }
    text
}

fn proxy_config(addresses: &[[SocketAddr; 2]], servers: &Servers, dead: SocketAddr, log: &str) -> String {
    let mut text = String::new();
    for (Setting { name, ours, .. }, [_, address]) in SETTINGS.iter().zip(addresses) {
        let lines = ours.replace(";;", "\n");
        let cookie =
            |id: &str| if *name == DYNAMIC { String::new() } else { format!(r#", cookie = "{id}""#) };
        let (id_a, id_b, id_d) = (cookie("A"), cookie("B"), cookie("D"));
        let check = |is_down: bool| {
            let port = dead.port();
            if is_down {
                format!(r#", check = {{ port = {port}, inter = "200ms", fall = 1 }}"#)
            } else {
                String::new()
            }
        };
        let (alive, dead) = (check(*name == BARE), check(true));
        let Servers { a, b, down, bare } = servers;
        let _ = write!(
            text,
            r#"[frontend.{name}]
bind = "{address}"
backend = "{name}"
log = {{ format = "http", target = "{log}" }}
[backend.{name}]
{lines}
server = [
    {{ name = "a", address = "{a}"{id_a}{alive} }},
    {{ name = "b", address = "{b}"{id_b}, weight = 0{alive} }},
    {{ name = "d", address = "{down}"{id_d}{dead} }},
    {{ name = "bare", address = "{bare}", backup = true }},
]
"#
        );
    }
    text
}

fn is_down(is_down: bool, dead: SocketAddr, words: &str) -> String {
    if is_down { format!("{words}{} inter 200ms fall 1", dead.port()) } else { String::new() }
}
