//! Users of the shop who ask for its first page, each on a connection of its own, and notice whatever goes wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use drain_tests::{client::Connection, clock};

/// How many there are.
const USERS: usize = 4;
/// How long each looks at the page.
const LOOKS_FOR: Duration = Duration::from_millis(20);

/// Users who keep coming until they are told to leave.
pub(crate) struct Users {
    leave: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    hurt: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Users {
    /// Lets them come to this address, as seen from this thread's network.
    pub(crate) fn of(shop: SocketAddr) -> Self {
        let mut users =
            Self { leave: Arc::default(), seen: Arc::default(), hurt: Arc::default(), threads: Vec::new() };
        for _ in 0..USERS {
            let (leave, seen, hurt) =
                (Arc::clone(&users.leave), Arc::clone(&users.seen), Arc::clone(&users.hurt));
            users.threads.push(thread::spawn(move || {
                while !leave.load(Ordering::Relaxed) {
                    if let Err(why) = visit(shop) {
                        hurt.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                    }
                    seen.fetch_add(1, Ordering::Relaxed);
                    clock::pause(LOOKS_FOR);
                }
            }));
        }
        users
    }

    /// How many visits there were.
    pub(crate) fn visits(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }

    /// Lets them leave, and fails the test if anybody was hurt.
    #[track_caller]
    pub(crate) fn assert_nobody_hurt(mut self) {
        self.leave.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a user's thread");
        }
        let hurt = self.hurt.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(self.visits() > 0, "nobody came");
        assert!(hurt.is_empty(), "{} of {} were hurt, the first: {}", hurt.len(), self.visits(), hurt[0]);
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
    }
}

fn visit(shop: SocketAddr) -> Result<(), String> {
    let mut connection = Connection::open(shop).map_err(|e| e.to_string())?;
    let page = connection.fetch("GET", "/", &["Connection: close"], b"").map_err(|e| e.to_string())?;
    if page.status == 200 && !page.body.is_empty() { Ok(()) } else { Err(format!("status {}", page.status)) }
}
