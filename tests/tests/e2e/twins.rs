//! One haproxy.cfg whose operators give commands, run by a real HAProxy and by drain-proxy: where commands are taken, what
//! is shown of servers and of requests, and what becomes of a request that is ended.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixStream},
    },
    thread::{self, JoinHandle},
};

use drain_tests::{
    PATIENCE, Place, Proxy,
    child::Child,
    client::Connection,
    haproxy::Runtime,
    place::{self, holds},
    port, twin,
};

use crate::upstream::{HELD, Upstream};

/// A program that runs a haproxy.cfg.
struct Twin {
    child: Child,
    runtime: Runtime,
    address: SocketAddr,
    /// Where else commands are taken: ports, and a name.
    ports: [SocketAddr; 2],
    name: String,
}

/// What both run; words in capitals are filled in.
const CONFIG: &str = "
global
    stats socket SOCKET level admin
    stats socket ipv4@PORT1 level user
    stats socket PORT2
    stats socket abns@NAME level operator
    stats timeout 60s
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    timeout client 60s
    timeout server 60s
    timeout connect 60s
frontend web
    bind ADDRESS
    stats enable
    stats uri /st
    stats admin if TRUE
    default_backend shop
backend shop
    server s1 S1 maxconn 1
    server s2 S2 disabled
    server s3 S2 disabled check
backend off
    disabled
    server s4 S2
";

impl Twin {
    /// `program` by this configuration.
    fn start(place: &Place, program: &str, servers: [&Upstream; 2]) -> Self {
        let runtime = Runtime::at(place.public().join(format!("{program}.sock")));
        let (address, ports) = (port::free(), [port::free(), port::free()]);
        let name = format!("{program}-{}", address.port());
        let text = CONFIG
            .replace("SOCKET", &runtime.path().display().to_string())
            .replace("PORT1", &ports[0].to_string())
            .replace("PORT2", &ports[1].to_string())
            .replace("NAME", &name)
            .replace("ADDRESS", &address.to_string())
            .replace("S1", &servers[0].address.to_string())
            .replace("S2", &servers[1].address.to_string());
        let child = twin::run(place, program, &text);
        place.wait_for(&format!("{program} to serve"), PATIENCE, || {
            let answer = Connection::open(address).and_then(|mut c| c.fetch("GET", "/", &[], b""));
            holds(answer.as_ref().is_ok_and(|answer| answer.status == 200), || format!("{answer:?}"))
        });
        Self { child, runtime, address, ports, name }
    }

    /// With what is its own taken out.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.runtime.path().display().to_string(), "SOCKET")
            .replace(&self.ports[0].to_string(), "PORT1")
            .replace(&self.ports[1].to_string(), "PORT2")
            .replace(&self.name, "NAME")
    }

    /// What is said at each of its sockets.
    fn everywhere(&self, command: &str) -> Vec<String> {
        let mut said = vec![self.runtime.command(command)];
        said.extend(self.ports.map(|port| ask(TcpStream::connect(port).expect("a port"), command)));
        said.push(ask(UnixStream::connect_addr(&by_name(&self.name)).expect("a name"), command));
        said
    }

    /// The lines of requests in `show sess`.
    fn sessions(&self) -> Vec<String> {
        let text = self.runtime.command("show sess");
        let mut lines: Vec<_> =
            text.lines().filter(|line| line.contains(" fe=web ")).map(str::to_owned).collect();
        // HAProxy lists them by its threads: who waits is the last here.
        lines.sort_by_key(|line| line.contains(" srv=<none> "));
        lines
    }

    /// A client that asks for what is held back; gives how much it got in the end.
    fn hold(&self) -> JoinHandle<usize> {
        let address = self.address;
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("connect");
            stream.write_all(format!("GET {HELD} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).expect("ask");
            let mut got = Vec::new();
            // A reset is an end, too.
            let _ = stream.read_to_end(&mut got);
            got.len()
        })
    }
}

/// HAProxy's names have all the length that there is, with zeroes at the end.
fn by_name(name: &str) -> UnixAddress {
    UnixAddress::from_abstract_name(format!("{name:\0<107}")).expect("a name")
}

fn ask(mut stream: impl Read + Write, command: &str) -> String {
    let mut answer = String::new();
    stream.write_all(format!("{command}\n").as_bytes()).expect("ask");
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A line of `show sess`, without what is each one's own: numbers, addresses, times and flags.
fn form(line: &str) -> String {
    let mut words = line.split(' ');
    let mut form =
        vec![words.next().map_or(0, |id| usize::from(id.starts_with("0x") && id.ends_with(':'))).to_string()];
    for word in words {
        let (key, value) = word.split_once(['=', '[']).unwrap_or((word, ""));
        form.push(match key {
            "proto" | "fe" | "be" | "srv" | "rc" => word.to_owned(),
            // The state, which is the same in both.
            "scf" | "scb" => {
                format!("{key}={}", value.trim_start_matches('[').split(',').next().unwrap_or_default())
            }
            _ => key.to_owned(),
        });
    }
    form.join(" ")
}

/// Rows of `show servers state` or `show stat`, with only these columns.
fn columns(text: &str, separator: char, of: &str, wanted: &[usize]) -> Vec<String> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(separator).collect();
        let cells = wanted.iter().map(|&at| cells.get(at).copied().unwrap_or_default());
        cells.collect::<Vec<_>>().join(" ")
    };
    text.lines().filter(|line| line.contains(of)).map(row).collect()
}

fn twins(place: &Place, servers: [&Upstream; 2]) -> [Twin; 2] {
    ["haproxy", "drain-proxy"].map(|program| Twin::start(place, program, servers))
}

#[test]
fn commands_are_taken_wherever_haproxy_takes_them() {
    let place = Place::new("twins_sockets");
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let [theirs, ours] = twins(&place, [&a, &b]);
    for command in ["show cli sockets", "show cli level", "disable server shop/s1", "show env HOME_NOT_SET"] {
        let said = [&theirs, &ours]
            .map(|twin| twin.everywhere(command).iter().map(|said| twin.plain(said)).collect::<Vec<_>>());
        assert_eq!(said[0], said[1], "{command}");
    }
    let log = ours.child.log_text();
    place.check(log.contains(" says: disable server shop/s1"), &log);
}

#[test]
fn servers_that_begin_disabled_are_shown_and_come_as_in_haproxy() {
    let place = Place::new("twins_disabled");
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let [theirs, ours] = twins(&place, [&a, &b]);
    // All but the numbers of proxies and the time since the last change; of what is checked, but its health.
    let state = |twin: &Twin| {
        let text = twin.runtime.command("show servers state shop");
        columns(&text, ' ', " shop ", &[1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14])
    };
    let stat = |twin: &Twin| columns(&twin.runtime.command("show stat"), ',', "shop,", &[1, 17, 18, 19, 20]);
    assert_eq!(state(&theirs), state(&ours));
    assert_eq!(stat(&theirs), stat(&ours));
    assert!(stat(&ours).contains(&"s2 MAINT 1 1 0".to_owned()), "{:?}", stat(&ours));
    for twin in [&theirs, &ours] {
        assert!(
            !twin.runtime.command("show stat").contains("\noff,"),
            "a proxy that is disabled is not there"
        );
        assert_eq!(twin.runtime.command("enable server shop/s2;enable server shop/s3"), "\n\n");
        place.wait_for("both to serve", PATIENCE, || {
            let seen = columns(&twin.runtime.command("show stat"), ',', "shop,s", &[1, 17]);
            holds(seen[1..] == ["s2 no check", "s3 UP"], || format!("{seen:?}"))
        });
    }
    assert_eq!(state(&theirs)[1], state(&ours)[1]);
    let served =
        Connection::open(ours.address).and_then(|mut c| c.fetch("GET", "/", &[], b"")).expect("a page");
    assert_eq!(served.status, 200);
    let changes = ours.runtime.command("show changes");
    assert_eq!(changes, "set server shop/s2 state ready\nset server shop/s3 state ready\n\n");
}

#[test]
fn requests_under_way_are_listed_and_ended_as_in_haproxy() {
    let place = Place::new("twins_sessions");
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let both = twins(&place, [&a, &b]);
    let mut forms = Vec::new();
    for (count, twin) in both.iter().enumerate() {
        let first = twin.hold();
        place.wait_for("half an answer", PATIENCE, || {
            holds(a.holding() > count, || format!("{} held", a.holding()))
        });
        // Only one at once may be there.
        let second = twin.hold();
        let lines = place.wait_for("both to be listed", PATIENCE, || {
            let lines = twin.sessions();
            let is_there =
                lines.len() == 2 && lines[1].contains(" srv=<none> ") && lines[1].contains(" scb=[2,");
            if is_there { Ok(lines) } else { Err(format!("{lines:?}")) }
        });
        forms.push(lines.iter().map(|line| form(line)).collect::<Vec<_>>());
        let id = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let in_full = twin.runtime.command(&format!("show sess {}", id(&lines[0])));
        for part in
            [" id=", "\n  flags=", "\n  frontend=web (id=2 mode=http), listener=", "\n  backend=shop (id="]
        {
            assert!(in_full.contains(part), "{part}: {in_full}");
        }
        let server = format!("\n  server=s1 (id=1) addr={}\n", a.address);
        assert!(in_full.contains(&server) && in_full.contains(" status=200 "), "{in_full}");
        let all = twin.runtime.command("show sess all");
        assert!(lines.iter().all(|line| all.contains(&id(line))), "{all}");
        for line in &lines {
            assert_eq!(twin.runtime.command(&format!("shutdown session {}", id(line))), "\n");
            // HAProxy has the second one go on to the server, and ends it there.
            let ended = || holds(!twin.sessions().iter().any(|now| id(now) == id(line)), || line.clone());
            place.wait_for("the request to have ended", PATIENCE, ended);
        }
        let got = first.join().expect("a client");
        assert!(got > 0 && got < 2 * crate::upstream::HALF_BYTES, "{got}");
        second.join().expect("a client");
        let log = place.wait_for("two lines in the log", PATIENCE, || {
            let log = twin.child.log_text();
            if log.matches("/held HTTP").count() == 2 { Ok(log) } else { Err(log) }
        });
        // HAProxy's second one may have come to the server by then, and ends there; ours ends where it waits.
        assert!(log.contains(" - - KD-- "), "{log}");
        assert_eq!(log.matches(" - - K").count(), 2, "{log}");
    }
    a.release();
    assert_eq!(forms[0], forms[1]);
}

/// Listens for the program that it becomes, as varnishtest does.
const STARTER: &str = "import os, socket, sys
commands = socket.socket()
commands.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
commands.bind(('127.0.0.1', int(sys.argv[1])))
commands.listen()
os.dup2(commands.fileno(), 7)
os.execv(sys.argv[2], sys.argv[2:])";

#[test]
fn a_socket_that_the_proxy_was_started_with_takes_commands() {
    let place = Place::new("twins_inherited");
    let a = Upstream::start("a");
    let (dir, at, address) = (place.subdir("lb"), port::free(), port::free());
    let config = dir.join("proxy.cfg");
    let text = format!(
        "global\n stats socket \"fd@${{commands}}\" level admin\ndefaults\n mode http\n timeout client 60s\n timeout server 60s\n \
         timeout connect 60s\nlisten web\n bind {address}\n server s1 {}\n",
        a.address
    );
    fs::write(&config, text).expect("write proxy.cfg");
    let mut command = place.command("/usr/bin/python3");
    command.args(["-c", STARTER, &at.port().to_string()]).arg(place::built("drain-proxy"));
    command.arg("-f").arg(&config).env("commands", "7");
    let _child = Child::start(&place, &dir, "lb", command, |line| line.contains("panicked at"));
    place.wait_for("the proxy to serve", PATIENCE, || {
        let answer = Connection::open(address).and_then(|mut c| c.fetch("GET", "/", &[], b""));
        holds(answer.is_ok(), || format!("{answer:?}"))
    });
    let said = ask(TcpStream::connect(at).expect("the socket"), "show cli sockets;get weight web/s1");
    assert_eq!(said, format!("# socket lvl processes\nipv4@{at} admin all\n\n1 (initial 1)\n\n"));
}

#[test]
fn ports_and_names_for_commands_go_to_the_next_process_in_an_upgrade() {
    let place = Place::new("twins_upgrade");
    let a = Upstream::start("a");
    let at = port::free();
    let name = format!("drain-upgrade-{}", at.port());
    let socket = place.public().join("lb.admin");
    let admin = format!("[admin]\nsocket = [\"{}\", \"{at}\", \"abns@{name}\"]", socket.display());
    let mut proxy = Proxy::new(&place, "lb").server("s1", a.address, None).section(&admin).start();
    let ask_name = || {
        UnixStream::connect_addr(&by_name(&name))
            .map(|stream| ask(stream, "get weight shop/s1"))
            .unwrap_or_default()
    };
    assert_eq!(ask_name(), "1 (initial 1)\n\n");
    proxy.upgrade();
    for (socket, weight) in [("port", "7"), ("name", "9")] {
        place.wait_for(&format!("orders to be taken at the {socket}"), PATIENCE, || {
            let order = format!("set weight shop/s1 {weight}");
            let said = match socket {
                "port" => TcpStream::connect(at).map(|stream| ask(stream, &order)).unwrap_or_default(),
                _ => UnixStream::connect_addr(&by_name(&name))
                    .map(|stream| ask(stream, &order))
                    .unwrap_or_default(),
            };
            holds(said == "\n", || said)
        });
    }
    assert_eq!(ask_name(), "9 (initial 1)\n\n");
    assert_eq!(proxy.runtime().command("get weight shop/s1"), "9 (initial 1)\n\n");
    proxy.end_newest();
}
