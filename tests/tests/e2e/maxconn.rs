//! Limits that are changed while the proxy works: what they are on never exceeds them, as the server counts.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use drain_tests::{
    PATIENCE, Place, Proxy,
    client::Connection,
    place::holds,
    scripted::{self, Request},
};
use socket2::SockRef;

/// A server whose answers wait until the test lets them go.
struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Requests that wait for their answer.
    held: usize,
    /// The most of them at once.
    most: usize,
    /// So many may go.
    allowed: usize,
    /// All may.
    open: bool,
    /// Answers so far.
    answered: usize,
    /// Whoever has sent a request, by its address.
    connections: HashMap<SocketAddr, TcpStream>,
}

impl Gate {
    fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_server = Arc::clone(&shared);
        let address = scripted::start(move |request, connection| of_server.answer(request, connection));
        Self { address, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn let_go(&self, count: usize) {
        self.state().allowed += count;
        self.shared.changed.notify_all();
    }

    fn open(&self) {
        self.state().open = true;
        self.shared.changed.notify_all();
    }

    /// Waits until exactly so many wait.
    fn wait_for_held(&self, place: &Place, count: usize) {
        place.wait_for(&format!("{count} to wait at the server"), PATIENCE, || {
            let held = self.state().held;
            holds(held == count, || held.to_string())
        });
    }

    /// Connections that the proxy has not closed. What it closes is seen here a little later.
    fn connections(&self) -> usize {
        let mut state = self.state();
        state.connections.retain(|_, stream| {
            let mut byte = [std::mem::MaybeUninit::uninit()];
            let seen =
                SockRef::from(&*stream).recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
            seen.map_or_else(|error| error.kind() == std::io::ErrorKind::WouldBlock, |count| count > 0)
        });
        state.connections.len()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request, connection: &mut Connection) -> Option<()> {
        if request.line().contains(" /held ") {
            let stream = connection.stream().try_clone().ok()?;
            let mut state = self.state();
            state.connections.insert(stream.peer_addr().ok()?, stream);
            state.held += 1;
            state.most = state.most.max(state.held);
            let wait = self.changed.wait_while(state, |state| !state.open && state.allowed == 0);
            let mut state = wait.unwrap_or_else(PoisonError::into_inner);
            state.allowed -= usize::from(!state.open);
            state.held -= 1;
            state.answered += 1;
        }
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()
    }
}

/// One request on a connection of its own.
fn user(to: SocketAddr) -> Result<u16, String> {
    let answer = Connection::open(to).and_then(|mut c| c.fetch("GET", "/held", &["Connection: close"], b""));
    answer.map(|answer| answer.status).map_err(|failure| failure.to_string())
}

/// What `show stat` says of this row.
pub(crate) fn stat(proxy: &Proxy, row: &str, column: &str) -> usize {
    let text = proxy.runtime().command("show stat");
    let names = text.lines().next().unwrap_or_default().trim_start_matches("# ").split(',');
    let at = names.into_iter().position(|name| name == column).unwrap_or_else(|| panic!("{column}: {text}"));
    let line = text.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}: {text}"));
    line.split(',').nth(at).and_then(|cell| cell.parse().ok()).unwrap_or_else(|| panic!("{column}: {line}"))
}

/// No check asks while the test counts, and nobody's time is over. Its cores share the limits, on whatever machine.
fn proxy(place: &Place, gate: &Gate, maxconn: &str) -> Proxy {
    Proxy::new(place, "proxy")
        .commanded("")
        .check(r#"inter = "1h""#)
        .frontend_line(r#"timeout.client = "1h""#)
        .backend_line(r#"timeout.queue = "1h""#)
        .backend_line(r#"timeout.server = "1h""#)
        .server("s1", gate.address, None)
        .server_line(maxconn)
        .section("[limits]\nthreads = 4")
        .start()
}

#[test]
fn a_servers_limit_holds_while_it_is_lowered_and_raised() {
    let place = Place::new("maxconn_server");
    let gate = Gate::start();
    let proxy = proxy(&place, &gate, "maxconn = 4");
    let limit = |limit: usize| {
        let said = proxy.runtime().command(&format!("set maxconn server shop/s1 {limit}"));
        assert_eq!(said, "\n");
    };
    let wait_for = |flying: usize, waiting: usize| {
        gate.wait_for_held(&place, flying);
        place.wait_for(&format!("{flying} in flight and {waiting} that wait"), PATIENCE, || {
            let seen = (stat(&proxy, "shop,s1,", "scur"), stat(&proxy, "shop,BACKEND,", "qcur"));
            // None is idle where somebody waits.
            let open = gate.connections();
            holds(seen == (flying, waiting) && open == flying, || format!("{seen:?}, {open} open"))
        });
    };
    let (users, done) = (20, AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..users {
            scope.spawn(|| {
                assert_eq!(user(proxy.address()), Ok(200));
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        let wait_for_done = |count: usize| {
            place.wait_for(&format!("{count} answers"), PATIENCE, || {
                let done = done.load(Ordering::SeqCst);
                holds(done == count, || done.to_string())
            });
        };
        wait_for(4, 16);
        limit(2);
        gate.let_go(2);
        wait_for_done(2);
        wait_for(2, 16);
        gate.state().most = 2;
        for done in 3..7 {
            gate.let_go(1);
            wait_for_done(done);
            wait_for(2, 18 - done);
        }
        assert_eq!(gate.state().most, 2);
        // Beyond what the configuration has.
        limit(8);
        wait_for(8, 6);
        assert_eq!(gate.state().most, 8);
        gate.open();
    });
}

#[test]
fn a_servers_limit_holds_under_load_for_idle_connections_too() {
    let place = Place::new("maxconn_load");
    let gate = Gate::start();
    let proxy = proxy(&place, &gate, "maxconn = 6");
    gate.open();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = Connection::open(proxy.address()).expect("a connection");
                while !over.load(Ordering::SeqCst) {
                    let answer = connection.fetch("GET", "/held", &[], b"").expect("an answer");
                    assert_eq!(answer.status, 200);
                }
            });
        }
        // Whatever fails here, the users go home.
        let _home = Home(&over);
        for limit in [3, 1, 7, 2, 5, 1, 6] {
            let said = proxy.runtime().command(&format!("set maxconn server shop/s1 {limit}"));
            assert_eq!(said, "\n");
            place.wait_for("what is in flight to be within the limit", PATIENCE, || {
                let flying = stat(&proxy, "shop,s1,", "scur");
                holds(flying <= limit, || flying.to_string())
            });
            let before = {
                let mut state = gate.state();
                state.most = 0;
                state.answered
            };
            place.wait_for("a hundred further answers", PATIENCE, || {
                let answered = gate.state().answered - before;
                holds(answered >= 100, || answered.to_string())
            });
            let most = gate.state().most;
            assert!((1..=limit).contains(&most), "{most} at once, {limit} allowed");
            place.wait_for("all connections to be within the limit", PATIENCE, || {
                let open = gate.connections();
                holds(open <= limit, || format!("{open} of {limit}"))
            });
        }
    });
}

#[test]
fn a_servers_limit_holds_over_both_processes_of_an_upgrade() {
    let place = Place::new("maxconn_upgrade");
    let gate = Gate::start();
    let mut proxy = proxy(&place, &gate, "maxconn = 4");
    let address = proxy.address();
    thread::scope(|scope| {
        let come = |count| {
            for _ in 0..count {
                scope.spawn(move || assert_eq!(user(address), Ok(200)));
            }
        };
        // Whatever fails here, the users go home.
        let _home = Opened(&gate);
        come(10);
        gate.wait_for_held(&place, 4);
        proxy.upgrade();
        come(10);
        for gone in 1..=16 {
            gate.let_go(1);
            place.wait_for(&format!("{gone} to have gone, and 4 to be there"), PATIENCE, || {
                let state = gate.state();
                let seen = (state.answered, state.held);
                drop(state);
                holds(seen == (gone, 4), || format!("{seen:?}"))
            });
        }
        assert_eq!(gate.state().most, 4);
        gate.open();
    });
    assert_eq!(gate.state().most, 4);
    proxy.end_newest();
}

/// Opens the gate in the end.
struct Opened<'a>(&'a Gate);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Ends what goes on until then.
struct Home<'a>(&'a AtomicBool);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Has a limit on clients' connections changed by this command, while more clients come than it lets in.
fn clients(name: &str, command: &str) {
    let place = Place::new(name);
    let gate = Gate::start();
    let proxy = proxy(&place, &gate, "maxconn = 100");
    let limit = |limit: usize| {
        assert_eq!(proxy.runtime().command(&format!("{command} {limit}")), "\n");
    };
    let wait_for = |count: usize| {
        gate.wait_for_held(&place, count);
        place.wait_for(&format!("{count} clients"), PATIENCE, || {
            let clients = stat(&proxy, "web,FRONTEND,", "scur");
            holds(clients == count, || clients.to_string())
        });
    };
    limit(4);
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(user(proxy.address()), Ok(200)));
        }
        wait_for(4);
        limit(2);
        gate.let_go(2);
        wait_for(2);
        gate.state().most = 2;
        for gone in 3..7 {
            gate.let_go(1);
            place.wait_for(&format!("{gone} to have gone"), PATIENCE, || {
                let answered = gate.state().answered;
                holds(answered == gone, || answered.to_string())
            });
            wait_for(2);
        }
        assert_eq!(gate.state().most, 2);
        limit(5);
        wait_for(5);
        assert_eq!(gate.state().most, 5);
        gate.open();
    });
}

#[test]
fn a_frontends_limit_holds_while_it_is_lowered_and_raised() {
    clients("maxconn_frontend", "set maxconn frontend web");
}

#[test]
fn the_limit_of_the_process_holds_while_it_is_lowered_and_raised() {
    clients("maxconn_global", "set maxconn global");
}
