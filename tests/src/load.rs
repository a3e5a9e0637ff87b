//! Users: they come, browse and order, some with cookies, some on kept-alive connections, and they notice
//! every answer that is missing, wrong or cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    apache::{ORDER, PAGE, PAGE_BYTES, THINK},
    client::{Connection, Failure, Response},
    clock,
    tally::{Habit, Served, Tally, Visit},
};

/// How long a user thinks between two requests, at least and at most, in milliseconds.
const THINKS_MS: std::ops::Range<u64> = 20..90;
/// Requests of one session: with thinking about a second, so that a soft drain sees its users leave.
const REQUESTS_PER_SESSION: u32 = 8;
/// Whatever a test forgets, its load ends then.
const LONGEST: Duration = Duration::from_mins(20);

/// A load to be put on a balancer.
#[derive(Clone, Debug)]
pub struct Load {
    balancer: SocketAddr,
    each: usize,
    habits: Vec<Habit>,
    requests_per_session: u32,
}

impl Load {
    /// Two users of each [`Habit`], 16 in all.
    pub fn on(balancer: SocketAddr) -> Self {
        Self { balancer, each: 2, habits: Habit::all(), requests_per_session: REQUESTS_PER_SESSION }
    }

    /// So many users of each habit.
    #[must_use]
    pub fn users_of_each_habit(mut self, each: usize) -> Self {
        self.each = each;
        self
    }

    /// Only users with these habits.
    #[must_use]
    pub fn only(mut self, which: impl Fn(&Habit) -> bool) -> Self {
        self.habits.retain(which);
        self
    }

    /// Sessions of so many requests; `u32::MAX`: the first users never leave.
    #[must_use]
    pub fn requests_per_session(mut self, requests: u32) -> Self {
        self.requests_per_session = requests;
        self
    }

    /// Lets the users come.
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared::default());
        let mut users = Vec::new();
        for &habit in &self.habits {
            for _ in 0..self.each {
                let mut user = User {
                    balancer: self.balancer,
                    habit,
                    shared: Arc::clone(&shared),
                    requests_per_session: self.requests_per_session,
                    cookie: None,
                    connection: None,
                };
                users.push(thread::spawn(move || user.live()));
            }
        }
        Running { shared, users }
    }
}

/// A load that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    users: Vec<JoinHandle<()>>,
}

impl Running {
    /// How many requests have been answered or have failed so far.
    pub fn requests(&self) -> usize {
        self.shared.visits.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What has happened so far; the load goes on.
    pub fn so_far(&self) -> Tally {
        Tally::new(self.shared.visits.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Lets every user finish the request that is under way, and gives what happened.
    pub fn finish(mut self) -> Tally {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for user in self.users.drain(..) {
            let _ = user.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    sessions: AtomicU64,
    visits: Mutex<Vec<Visit>>,
}

/// One user after the other, of one habit, on one thread.
struct User {
    balancer: SocketAddr,
    habit: Habit,
    shared: Arc<Shared>,
    requests_per_session: u32,
    /// The persistence cookie as the balancer set it: `SERVERID=s1`.
    cookie: Option<String>,
    connection: Option<Connection>,
}

impl User {
    fn live(&mut self) {
        let start = clock::now();
        while !self.shared.over.load(Ordering::Relaxed) && start.elapsed() < LONGEST {
            let session = self.shared.sessions.fetch_add(1, Ordering::Relaxed);
            self.cookie = None;
            self.connection = None;
            for number in 0..self.requests_per_session {
                clock::pause(Duration::from_millis(fastrand::u64(THINKS_MS)));
                if self.shared.over.load(Ordering::Relaxed) || start.elapsed() >= LONGEST {
                    return;
                }
                self.visit(session, number);
            }
        }
    }

    fn visit(&mut self, session: u64, number: u32) {
        let order = self.habit.orders.then(|| format!("o{session}-{number}-{:08x}", fastrand::u32(..)));
        let path = match (&order, number % 2) {
            (Some(_), _) => ORDER,
            (None, 0) => THINK,
            (None, _) => PAGE,
        };
        let at = clock::unix();
        let cookie = self.cookie.clone();
        let outcome = self.ask(path, order.as_deref()).and_then(|response| {
            self.keep_cookie(&response);
            judge(path, order.as_deref(), &response)
        });
        if outcome.is_err() {
            self.connection = None;
        }
        let visit = Visit {
            at,
            took: clock::unix().saturating_sub(at),
            session,
            habit: self.habit,
            path,
            order,
            cookie,
            outcome,
        };
        self.shared.visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    }

    /// Sends one request and reads its answer. A request is never sent twice: a user of a page does no such
    /// thing, and what is lost on a kept-alive connection is lost.
    fn ask(&mut self, path: &str, order: Option<&str>) -> Result<Response, String> {
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => Connection::open(self.balancer).map_err(|e| e.to_string())?,
        };
        let cookie = self.cookie.as_ref().map(|c| format!("Cookie: theme=dark; {c}"));
        let mut headers: Vec<&str> = cookie.iter().map(String::as_str).collect();
        if !self.habit.keeps_alive {
            headers.push("Connection: close");
        }
        let body = order.map(|id| format!("{id}\n")).unwrap_or_default();
        let method = if order.is_some() { "POST" } else { "GET" };
        let response = connection.fetch(method, path, &headers, body.as_bytes());
        let response = response.map_err(|e: Failure| e.to_string())?;
        if self.habit.keeps_alive && response.keeps {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    fn keep_cookie(&mut self, response: &Response) {
        if !self.habit.keeps_cookie {
            return;
        }
        for (name, value) in &response.headers {
            if name == "set-cookie" && value.starts_with("SERVERID=") {
                self.cookie = value.split(';').next().map(str::to_owned);
            }
        }
    }
}

/// Whether this is the whole of what was asked for, and who served it.
fn judge(path: &str, order: Option<&str>, response: &Response) -> Result<Served, String> {
    let server = response.header("x-server").unwrap_or("nobody").to_owned();
    if response.status != 200 {
        return Err(format!("status {} from {server}", response.status));
    }
    let right = match (path, order) {
        (_, Some(id)) => response.body == format!("{id}\n").as_bytes(),
        (PAGE, _) => response.body.len() == PAGE_BYTES,
        _ => response.body == b"thought\n",
    };
    if right { Ok(Served { by: server }) } else { Err(format!("wrong body, {} bytes", response.body.len())) }
}
