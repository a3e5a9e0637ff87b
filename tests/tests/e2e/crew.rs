//! Clients that ask all the time and count what fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use drain_tests::{Place, client::Connection, clock};

/// Whatever a test forgets, they end then.
const LONGEST: Duration = Duration::from_mins(5);

/// Clients that ask one request after the other.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Crew {
    /// So many clients, each with a pause between two requests. `keep`: they stay connected as long as they may; else
    /// each request has a connection of its own.
    pub(crate) fn start(to: SocketAddr, clients: usize, pause: Duration, keep: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let client = |_| {
            let shared = shared.clone();
            thread::spawn(move || shared.ask(to, pause, keep))
        };
        let clients = (0..clients).map(client).collect();
        Self { shared, clients }
    }

    /// Requests that were answered with 200 so far.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Waits until so many more have been answered.
    pub(crate) fn go_on(&self, place: &Place, more: usize) {
        let wanted = self.answered() + more;
        place.wait_for(&format!("{wanted} answers"), Duration::from_mins(1), || {
            let answered = self.answered();
            if answered >= wanted { Ok(()) } else { Err(format!("{answered}")) }
        });
    }

    /// Ends them, and gives how many answers there were; fails the test if a single request has failed.
    #[track_caller]
    pub(crate) fn finish_unharmed(mut self, place: &Place) -> usize {
        self.shared.over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().expect("a client's thread");
        }
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        place.check(
            failures.is_empty(),
            &format!("{} requests failed, {} did not: {failures:#?}", failures.len(), self.answered()),
        );
        self.answered()
    }
}

/// Waits until each has had so many more answers.
pub(crate) fn all_go_on(place: &Place, crews: &[Crew], more: usize) {
    for crew in crews {
        crew.go_on(place, more);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn ask(&self, to: SocketAddr, pause: Duration, keep: bool) {
        let start = clock::now();
        let mut kept = None;
        while !self.over.load(Ordering::SeqCst) && start.elapsed() < LONGEST {
            let headers: &[&str] = if keep { &[] } else { &["Connection: close"] };
            let answer = kept.take().map_or_else(|| Connection::open(to), Ok).and_then(|mut connection| {
                let answer = connection.fetch("GET", "/", headers, b"")?;
                kept = answer.keeps.then_some(connection);
                Ok(answer)
            });
            match answer {
                Ok(answer) if answer.status == 200 && answer.body == b"ok\n" => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                other => {
                    let what = format!("{:?} after the start: {other:?}", start.elapsed());
                    self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(what);
                }
            }
            clock::pause(pause);
        }
    }
}
