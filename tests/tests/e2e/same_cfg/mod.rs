//! The same haproxy.cfg to HAProxy and to drain-proxy: what clients get, what servers are asked, and what the log says is
//! the same.

mod checks;
mod counts;
mod errors;
mod hashes;
mod keywords;
mod logs;
mod pages;
mod queues;
mod retries;
mod rewrites;
mod state_files;
mod timeouts;

use std::net::SocketAddr;

use drain_tests::{
    PATIENCE, Place, Syslog, child::Child, client::Connection, haproxy::Runtime, port, scripted, twin,
};

/// HAProxy and drain-proxy with one configuration.
struct Twice {
    _programs: [Child; 2],
    /// Of each: where clients come in, in the order of the configuration.
    addresses: [Vec<SocketAddr>; 2],
    syslogs: Vec<Syslog>,
    /// Where commands are taken, if the configuration says so.
    runtimes: [Runtime; 2],
}

impl Twice {
    /// In the text `BIND0`, `BIND1`, … are where clients come in, `SERVER` is the server's address, `LOG` the log's, and
    /// `SOCKET` where commands are taken.
    fn start(place: &Place, text: &str, server: SocketAddr) -> Self {
        let binds = (0..99).take_while(|number| text.contains(&format!("BIND{number}\n"))).count();
        let addresses = [(); 2].map(|()| (0..binds).map(|_| port::free()).collect::<Vec<_>>());
        let (syslogs, logs): (Vec<_>, Vec<_>) = twin::PROGRAMS.iter().map(|_| Syslog::start()).unzip();
        let runtimes = twin::PROGRAMS.map(|name| Runtime::at(place.public().join(format!("{name}.sock"))));
        let programs = [0, 1].map(|which| {
            let socket = runtimes[which].path().display().to_string();
            let text = text.replace("SERVER", &server.to_string()).replace("SOCKET", &socket);
            let mut text = text.replace("LOG", &logs[which].to_string());
            for (number, address) in addresses[which].iter().enumerate() {
                text = text.replace(&format!("BIND{number}\n"), &format!("{address}\n"));
            }
            twin::run(place, twin::PROGRAMS[which], &text)
        });
        for address in addresses.iter().flatten() {
            place.wait_for("both to listen", PATIENCE, || {
                Connection::open(*address).map(|_| ()).map_err(|error| error.to_string())
            });
        }
        Self { _programs: programs, addresses, syslogs, runtimes }
    }

    /// What both say to the bytes of a request, until they close.
    fn answers(&self, bind: usize, request: &str) -> [String; 2] {
        [0, 1].map(|which| {
            let mut connection = Connection::open(self.addresses[which][bind]).expect("a connection");
            connection.set_patience(PATIENCE);
            connection.send(request.as_bytes()).expect("a request");
            String::from_utf8_lossy(&connection.rest()).into_owned()
        })
    }

    /// What both say to a command.
    fn say(&self, command: &str) -> [String; 2] {
        [0, 1].map(|which| self.runtimes[which].command(command))
    }

    /// The next lines of the logs, without what stands before them.
    fn lines(&self, place: &Place, what: &str) -> [String; 2] {
        [0, 1].map(|which| {
            let line = self.syslogs[which].line(place, what);
            line.split_once("]: ").map_or(line.clone(), |(_, line)| line.to_owned())
        })
    }
}

/// A server that answers with what it was asked.
fn echo() -> SocketAddr {
    scripted::start(|request, connection| {
        let body = if request.head.starts_with("HEAD") { String::new() } else { request.head.clone() };
        let length = body.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nServer: echo\r\nX-Two: b\r\nContent-Length: {length}\r\n\r\n{body}");
        connection.send(answer.as_bytes()).ok()
    })
}

/// Differences, told together.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, what: &str, [theirs, ours]: [String; 2]) {
        if theirs != ours {
            self.0.push(format!("{what}\n  HAProxy:     {theirs}\n  drain-proxy: {ours}"));
        }
    }

    fn check(&self, place: &Place) {
        place.check(self.0.is_empty(), &format!("{} differ:\n{}", self.0.len(), self.0.join("\n")));
    }
}
