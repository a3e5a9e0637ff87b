//! Which server takes which request: the real proxy, beside a real HAProxy where both must do the same.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use drain_tests::{
    Haproxy, PATIENCE, Place, Proxy,
    client::Connection,
    haproxy,
    place::holds,
    scripted::{self, Request},
};

/// A server that answers with its name.
struct Named {
    name: &'static str,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Its checks fail.
    is_down: AtomicBool,
    /// What the balancer's last check said of it.
    state: Mutex<String>,
    /// Requests for `/held` that wait, and whether they go on waiting.
    held: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Named {
    fn start(name: &'static str) -> Self {
        let shared = Arc::new(Shared { held: Mutex::new((0, true)), ..Shared::default() });
        let of_server = Arc::clone(&shared);
        let address = scripted::start(move |request, connection| of_server.answer(name, request, connection));
        Self { name, address, shared }
    }

    fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
    }

    fn state(&self) -> String {
        self.shared.state.lock().expect("no panic").clone()
    }

    fn held(&self) -> u32 {
        self.shared.held.lock().expect("no panic").0
    }

    fn let_go(&self) {
        self.shared.held.lock().expect("no panic").1 = false;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn answer(&self, name: &str, request: &Request, connection: &mut Connection) -> Option<()> {
        if let Some(state) = request.field("x-haproxy-server-state") {
            state.clone_into(&mut self.state.lock().expect("no panic"));
        }
        if request.line().contains(" /held") {
            let mut held = self.held.lock().expect("no panic");
            held.0 += 1;
            let mut held = self.changed.wait_while(held, |(_, waits)| *waits).expect("no panic");
            held.0 -= 1;
        }
        // A drain that the server announces is no error.
        let down = "500 Hard\r\nx-drain-state: hard; since=1";
        let is_down = request.line().starts_with("OPTIONS") && self.is_down.load(Ordering::SeqCst);
        let status = if is_down { down } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        connection.send(answer.as_bytes()).ok()
    }
}

/// Who answers a request for this on a new connection without a cookie.
fn answered_by(balancer: SocketAddr, target: &str) -> String {
    let answer = Connection::open(balancer)
        .and_then(|mut client| client.fetch("GET", target, &[], b""))
        .unwrap_or_else(|failure| panic!("GET {target}: {failure}"));
    assert_eq!(answer.status, 200, "GET {target}");
    String::from_utf8(answer.body).expect("a name")
}

/// Who answers each of so many targets.
fn owners(balancer: SocketAddr, targets: u32) -> Vec<String> {
    (0..targets).map(|number| answered_by(balancer, &format!("/page/{number}?x={number}"))).collect()
}

fn proxy(place: &Place, servers: &[Named], with: impl FnOnce(Proxy) -> Proxy) -> Proxy {
    let proxy = Proxy::new(place, "proxy");
    let proxy = servers.iter().fold(proxy, |proxy, server| proxy.server(server.name, server.address, None));
    with(proxy).start()
}

fn haproxy(place: &Place, servers: &[Named], line: &str) -> Haproxy {
    let balancer = Haproxy::new(place, "haproxy").line(line);
    servers
        .iter()
        .fold(balancer, |balancer, server| balancer.server(haproxy::Server::new(server.name, server.address)))
        .start()
}

fn all_up(place: &Place, servers: &[Named]) {
    place.wait_for("all servers to be told that they are up", PATIENCE, || {
        let states: Vec<String> = servers.iter().map(Named::state).collect();
        holds(states.iter().all(|state| state.starts_with("UP;")), || format!("{states:?}"))
    });
}

#[test]
fn a_hashed_page_stays_at_its_server_as_in_haproxy() {
    const PAGES: u32 = 60;
    let place = Place::new("selection_hash");
    let servers = ["a", "b", "c"].map(Named::start);
    let ours = proxy(&place, &servers, |proxy| proxy.balance("uri"));
    let theirs = haproxy(&place, &servers, "balance uri");
    for balancer in [ours.address(), theirs.address()] {
        let first = owners(balancer, PAGES);
        assert_eq!(first, owners(balancer, PAGES), "each page at its server");
        for server in &servers {
            let pages = first.iter().filter(|owner| *owner == server.name).count();
            assert!((8..=36).contains(&pages), "{} has {pages} of {PAGES} pages", server.name);
        }
    }
}

#[test]
fn with_a_consistent_hash_only_the_pages_of_a_server_that_leaves_move() {
    const PAGES: u32 = 60;
    let place = Place::new("selection_consistent");
    let servers = ["a", "b", "c"].map(Named::start);
    let ours =
        proxy(&place, &servers, |proxy| proxy.balance("uri").backend_line(r#"hash_type = "consistent""#));
    all_up(&place, &servers);
    let before = owners(ours.address(), PAGES);
    servers[2].set_down(true);
    place.wait_for("the server to be told that it is down", PATIENCE, || {
        let state = servers[2].state();
        holds(state.starts_with("DOWN"), || state)
    });
    let after = owners(ours.address(), PAGES);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || before == "c", "{before} to {after}");
    }
    assert!(!after.contains(&"c".to_owned()));
}

#[test]
fn leastconn_avoids_a_busy_server_as_in_haproxy() {
    let place = Place::new("selection_leastconn");
    for is_ours in [true, false] {
        let servers = ["a", "b"].map(Named::start);
        let (mut ours, mut theirs) = (None, None);
        let balancer = if is_ours {
            ours.insert(proxy(&place, &servers, |proxy| proxy.balance("leastconn"))).address()
        } else {
            theirs.insert(haproxy(&place, &servers, "balance leastconn")).address()
        };
        // Far more than may still be counted on the free server when their users have their answers.
        let users: Vec<_> = (1..=8)
            .map(|count| {
                let user = thread::spawn(move || answered_by(balancer, "/held"));
                place.wait_for("a further request to be held", PATIENCE, || {
                    let held: u32 = servers.iter().map(Named::held).sum();
                    holds(held == count, || format!("{held}"))
                });
                user
            })
            .collect();
        assert_eq!((servers[0].held(), servers[1].held()), (4, 4), "ours: {is_ours}");
        servers[1].let_go();
        place.wait_for("half of the requests to be answered", PATIENCE, || {
            let answered = users.iter().filter(|user| user.is_finished()).count();
            holds(answered == 4, || format!("{answered}"))
        });
        assert_eq!(owners(balancer, 20), ["b"; 20], "ours: {is_ours}");
        servers[0].let_go();
        for user in users {
            user.join().expect("a user");
        }
    }
}

#[test]
fn first_fills_a_server_before_the_next_and_weights_share_as_in_haproxy() {
    let place = Place::new("selection_first");
    let servers = ["a", "b"].map(Named::start);
    let first = Proxy::new(&place, "first")
        .server("a", servers[0].address, None)
        // A request may still be counted for a moment when its user has the answer.
        .server_line("maxconn = 4")
        .server("b", servers[1].address, None)
        .balance("first")
        .start();
    let balancer = first.address();
    assert_eq!(owners(balancer, 5), ["a"; 5]);
    let mut users = Vec::new();
    while servers[0].held() < 4 {
        users.push(thread::spawn(move || answered_by(balancer, "/held")));
        place.wait_for("a further request to be held", PATIENCE, || {
            let held: u32 = servers.iter().map(Named::held).sum();
            holds(held as usize == users.len(), || format!("{held}"))
        });
    }
    assert_eq!(owners(balancer, 5), ["b"; 5]);
    for server in &servers {
        server.let_go();
    }
    for user in users {
        user.join().expect("a held user");
    }

    let ours = Proxy::new(&place, "weights")
        .server("a", servers[0].address, None)
        .server_line("weight = 3")
        .server("b", servers[1].address, None)
        .balance("static-rr")
        .start();
    let theirs = Haproxy::new(&place, "haproxy")
        .line("balance static-rr")
        .server(haproxy::Server::new("a", servers[0].address).with("weight 3"))
        .server(haproxy::Server::new("b", servers[1].address))
        .start();
    let shares = |balancer| {
        let mut shares = BTreeMap::new();
        for owner in owners(balancer, 40) {
            *shares.entry(owner).or_insert(0) += 1;
        }
        shares
    };
    assert_eq!(shares(ours.address()), BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 10)]));
    assert_eq!(shares(ours.address()), shares(theirs.address()));
}

#[test]
fn a_slow_start_is_said_in_the_state_header_and_a_backup_takes_over_meanwhile() {
    let place = Place::new("selection_slowstart");
    let servers = ["a", "x"].map(Named::start);
    let ours = Proxy::new(&place, "proxy")
        .server("a", servers[0].address, None)
        .server_line("slowstart = \"10m\"")
        .server("x", servers[1].address, None)
        .server_line("backup = true")
        .start();
    all_up(&place, &servers);
    assert!(!servers[0].state().contains("throttle"), "the proxy has just started, not the server");
    assert_eq!(owners(ours.address(), 4), ["a"; 4]);
    servers[0].set_down(true);
    place.wait_for("the backup to take over", PATIENCE, || {
        let owner = answered_by(ours.address(), "/");
        holds(owner == "x", || owner)
    });
    servers[0].set_down(false);
    let state = place.wait_for("the server to be told how far it has come", PATIENCE, || {
        let state = servers[0].state();
        if state.contains("; throttle=") { Ok(state) } else { Err(state) }
    });
    assert!(state.starts_with("UP") && state.contains("; qcur=0; throttle="), "{state}");
    assert_eq!(owners(ours.address(), 4), ["a"; 4], "it is the only active one");
}
