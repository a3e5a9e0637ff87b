//! A web server within the test: it counts, it can hold an answer back in its middle, and it remembers its checks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use drain_tests::{
    Place,
    client::Connection,
    scripted::{self, Request},
};

/// The path of an answer whose second half comes when the test says so.
pub(crate) const HELD: &str = "/held";
/// Each half of it.
pub(crate) const HALF_BYTES: usize = 64 * 1024;
/// Whatever a test forgets, what is held back ends then.
const HELD_AT_MOST: Duration = Duration::from_mins(2);

/// A web server that answers 200 with its name in `x-server`.
pub(crate) struct Upstream {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: AtomicUsize,
    holding: AtomicUsize,
    released: Mutex<bool>,
    release: Condvar,
    checks: Mutex<Vec<String>>,
    fails_checks: AtomicBool,
}

impl Upstream {
    /// Starts it. It lasts as long as the test's process.
    pub(crate) fn start(name: &'static str) -> Self {
        let shared = Arc::new(Shared::default());
        let of_server = Arc::clone(&shared);
        let address = scripted::start(move |request, connection| of_server.answer(name, request, connection));
        Self { name, address, shared }
    }

    /// Requests that were answered, without checks.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Answers that have stopped in their middle.
    pub(crate) fn holding(&self) -> usize {
        self.shared.holding.load(Ordering::SeqCst)
    }

    /// Lets the second halves go.
    pub(crate) fn release(&self) {
        *self.shared.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.release.notify_all();
    }

    /// Answers checks with 503 from now on, or with 200.
    pub(crate) fn fail_checks(&self, fails: bool) {
        self.shared.fails_checks.store(fails, Ordering::SeqCst);
    }

    /// `x-haproxy-server-state` of all checks so far.
    pub(crate) fn checks(&self) -> Vec<String> {
        self.shared.checks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a check that says so after the first `seen` ones.
    pub(crate) fn wait_for_check(&self, place: &Place, seen: usize, says: &str) {
        place.wait_for(&format!("a check of {} with {says}", self.name), Duration::from_mins(1), || {
            let checks = self.checks();
            let later = checks.get(seen..).unwrap_or_default();
            if later.iter().any(|state| state.contains(says)) { Ok(()) } else { Err(format!("{later:?}")) }
        });
    }
}

impl Shared {
    fn answer(&self, name: &str, request: &Request, connection: &mut Connection) -> Option<()> {
        if let Some(state) = request.field("x-haproxy-server-state") {
            self.checks.lock().unwrap_or_else(PoisonError::into_inner).push(state.to_owned());
        }
        let is_held = request.line().split(' ').nth(1) == Some(HELD);
        let length = if is_held { 2 * HALF_BYTES } else { 3 };
        let is_check = request.line().starts_with("OPTIONS");
        let fails = is_check && self.fails_checks.load(Ordering::SeqCst);
        let status = if fails { "503 Service Unavailable" } else { "200 OK" };
        let head = format!("HTTP/1.1 {status}\r\nx-server: {name}\r\ncontent-length: {length}\r\n\r\n");
        if is_held {
            connection.send(&[head.as_bytes(), &vec![b'1'; HALF_BYTES]].concat()).ok()?;
            self.holding.fetch_add(1, Ordering::SeqCst);
            let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.release.wait_timeout_while(released, HELD_AT_MOST, |released| !*released));
            connection.send(&vec![b'2'; HALF_BYTES]).ok()?;
        } else {
            connection.send(format!("{head}ok\n").as_bytes()).ok()?;
        }
        if is_check {
            return None;
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        Some(())
    }
}
