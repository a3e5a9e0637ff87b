//! Queues: who waits in one and goes, and who finds it full.

use std::{
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use drain_tests::{PATIENCE, Place, client::Connection, place::holds, scripted};

use super::{
    Differences, Twice,
    counts::{agree, columns},
};

/// The status is in the format for HAProxy's sake, which else writes a line before there is an answer.
const TEXT: &str = "
global
 log LOG len 2048 local0
 stats socket SOCKET level admin
defaults
 mode http
 log global
 option dontlognull
 log-format \"%f %b/%s %ST %tsc %sq/%bq %rc %HU\"
 timeout client 60s
 timeout server 60s
 timeout connect 60s
 timeout queue 60s
 cookie SID insert indirect
listen l0
 bind BIND0
 option abortonclose
 server full SERVER cookie full maxconn 1
listen l1
 bind BIND1
 no option abortonclose
 server full SERVER cookie full maxconn 1
listen l2
 bind BIND2
 option redispatch
 server full SERVER cookie full maxconn 1 maxqueue 1
 server other SERVER cookie other
listen l3
 bind BIND3
 no option redispatch
 server full SERVER cookie full maxconn 1 maxqueue 1
 server other SERVER cookie other
";

const PINNED: &str = "Cookie: SID=full\r\n";

const COUNTED: [&str; 10] =
    ["pxname", "svname", "stot", "cli_abrt", "econ", "wretr", "wredis", "hrsp_2xx", "hrsp_5xx", "lbtot"];

/// How somebody goes who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goes {
    /// He closes his connection.
    Wholly,
    /// He says that he sends nothing more.
    Half,
}

/// Who waits, where, and how he goes.
const GOING: [(usize, &str, Goes); 8] = [
    (0, "", Goes::Wholly),
    (0, PINNED, Goes::Wholly),
    (0, "", Goes::Half),
    (0, PINNED, Goes::Half),
    (1, "", Goes::Wholly),
    (1, PINNED, Goes::Wholly),
    (1, "", Goes::Half),
    (1, PINNED, Goes::Half),
];

/// Who comes beyond `maxqueue`, and where.
const BEYOND: [(usize, &str); 4] = [(2, PINNED), (2, ""), (3, PINNED), (3, "")];

/// A server that holds what is asked so, until it is let go.
#[derive(Default)]
struct Server {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The paths that were asked for.
    asked: Vec<String>,
    let_go: Vec<String>,
}

impl Server {
    fn start(self: &Arc<Self>) -> SocketAddr {
        let server = Arc::clone(self);
        scripted::start(move |request, connection| {
            let path = request.line().split(' ').nth(1).unwrap_or_default().to_owned();
            let mut state = server.state();
            state.asked.push(path.clone());
            if path.ends_with("/held") {
                let wait = server.changed.wait_while(state, |state| !state.let_go.contains(&path));
                drop(wait.unwrap_or_else(PoisonError::into_inner));
            } else {
                drop(state);
            }
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, path: String) {
        self.state().let_go.push(path);
        self.changed.notify_all();
    }
}

/// One of the two programs, and its server.
struct Side<'a> {
    place: &'a Place,
    both: &'a Twice,
    server: &'a Server,
    which: usize,
}

impl Side<'_> {
    /// Where requests of a case begin.
    fn folder(&self, case: usize) -> String {
        format!("/{}/{case}", self.which)
    }

    fn ask(&self, bind: usize, path: &str, cookie: &str) -> Connection {
        let mut connection = Connection::open(self.both.addresses[self.which][bind]).expect("a connection");
        connection.set_patience(PATIENCE);
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{cookie}Connection: close\r\n\r\n");
        connection.send(request.as_bytes()).expect("a request");
        connection
    }

    /// One whom the server holds, and one who waits behind him.
    fn held_and_waiting(&self, case: usize, bind: usize, cookie: &str) -> [Connection; 2] {
        let held = format!("{}/held", self.folder(case));
        let holder = self.ask(bind, &held, PINNED);
        self.place.wait_for("a request at the server", PATIENCE, || {
            let asked = self.server.state().asked.clone();
            holds(asked.contains(&held), || format!("{asked:?}"))
        });
        let waiter = self.ask(bind, &format!("{}/waits", self.folder(case)), cookie);
        self.place.wait_for("a request in the queue", PATIENCE, || {
            let text = self.both.runtimes[self.which].command("show stat");
            let rows = columns(&text, &["pxname", "qcur"]);
            let waits = |row: &&String| **row == format!("pxname=l{bind} qcur=1");
            holds(rows.iter().any(|row| waits(&row)), || format!("{rows:?}"))
        });
        [holder, waiter]
    }

    /// The next lines of the log, in the order of their text.
    fn lines(&self, count: usize, case: usize) -> Vec<String> {
        let line = |_| {
            let line = self.both.syslogs[self.which].line(self.place, "a request");
            let line = line.split_once("]: ").map_or(line.clone(), |(_, line)| line.to_owned());
            line.replace(&self.folder(case), "")
        };
        let mut lines: Vec<_> = (0..count).map(line).collect();
        lines.sort();
        lines
    }

    /// What the server was asked.
    fn asked(&self, case: usize) -> Vec<String> {
        let folder = self.folder(case) + "/";
        let asked = self.server.state().asked.clone();
        let mut asked: Vec<_> =
            asked.iter().filter_map(|path| path.strip_prefix(&folder)).map(str::to_owned).collect();
        asked.sort();
        asked
    }

    fn end(&self, case: usize, [mut holder, waiter]: [Option<Connection>; 2], found: &mut Vec<String>) {
        self.server.let_go(format!("{}/held", self.folder(case)));
        for connection in [&mut holder, &mut { waiter }].into_iter().flatten() {
            found.push(status(&connection.rest()));
        }
    }

    /// Somebody goes who waits.
    fn goes(&self, case: usize) -> Vec<String> {
        let (bind, cookie, goes) = GOING[case];
        let [holder, waiter] = self.held_and_waiting(case, bind, cookie);
        let mut found = Vec::new();
        let mut waiter = match goes {
            Goes::Wholly => {
                drop(waiter);
                None
            }
            Goes::Half => {
                waiter.finish_sending();
                Some(waiter)
            }
        };
        // He is forgotten at once where his going is looked at.
        let is_seen = bind == 0;
        if is_seen {
            found.extend(waiter.take().map(|mut waiter| status(&waiter.rest())));
            found.extend(self.lines(1, case));
        }
        self.end(case, [Some(holder), waiter], &mut found);
        found.extend(self.lines(2 - usize::from(is_seen), case));
        found.push(format!("{:?}", self.asked(case)));
        found
    }

    /// Somebody comes beyond those who may wait.
    fn comes_beyond(&self, case: usize) -> Vec<String> {
        let (bind, cookie) = BEYOND[case];
        let case = GOING.len() + case;
        let [holder, waiter] = self.held_and_waiting(case, bind, PINNED);
        let answer = self.ask(bind, &format!("{}/beyond", self.folder(case)), cookie).rest();
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        let mut found = vec![status(&answer)];
        found.extend(text.lines().filter(|line| line.starts_with("set-cookie: ")).map(str::to_owned));
        found.extend(self.lines(1, case));
        self.end(case, [Some(holder), Some(waiter)], &mut found);
        found.extend(self.lines(2, case));
        found.push(format!("{:?}", self.asked(case)));
        found
    }
}

fn status(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).split(' ').nth(1).unwrap_or("nothing").to_owned()
}

#[test]
fn who_waits_and_goes_and_who_finds_a_queue_full_ends_as_in_haproxy() {
    let place = Place::new("same_cfg_queues");
    let server = Arc::<Server>::default();
    let both = Twice::start(&place, TEXT, server.start());
    let sides = [0, 1].map(|which| Side { place: &place, both: &both, server: &server, which });
    place.wait_for("those who looked whether anybody listens to have gone", PATIENCE, || {
        let open = both.say("show stat").map(|text| columns(&text, &["scur"])).concat();
        holds(open.iter().all(|open| open == "scur=0"), || format!("{open:?}"))
    });
    both.say("clear counters all");

    let mut differences = Differences::default();
    for (case, going) in GOING.iter().enumerate() {
        let found = sides.each_ref().map(|side| side.goes(case).join(", "));
        differences.compare(&format!("{going:?}"), found);
    }
    for (case, beyond) in BEYOND.iter().enumerate() {
        let found = sides.each_ref().map(|side| side.comes_beyond(case).join(", "));
        differences.compare(&format!("{beyond:?}"), found);
    }
    differences.check(&place);
    agree(&place, "the same numbers", || both.say("show stat").map(|text| columns(&text, &COUNTED)));
}
