//! A server that writes down the requests it gets, and answers with the bytes that the case wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use drain_tests::{
    client::Connection,
    scripted::{self, Request},
};

/// What it answers unless a case wants something else.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request as a server understood it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Recorded {
    /// Its first line.
    pub(super) line: String,
    /// Names in small letters, values without blanks around them; without what only concerns the connection.
    pub(super) fields: Vec<(String, String)>,
    /// Its body, without chunks.
    pub(super) body: Vec<u8>,
}

/// A recording server; its threads end with the process.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Recorded>,
    /// Sent instead of the usual answer; the connection closes behind it.
    answer: Option<Vec<u8>>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let of_server = Arc::clone(&state);
        let address = scripted::start(move |request, connection| answer(&of_server, request, connection));
        Self { address, state }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets what was before; the next requests are answered with these bytes, if any.
    pub(super) fn begin(&self, answer: Option<&[u8]>) {
        *lock(&self.state) = State { requests: Vec::new(), answer: answer.map(<[u8]>::to_vec) };
    }

    /// The requests that came since.
    pub(super) fn requests(&self) -> Vec<Recorded> {
        lock(&self.state).requests.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Health checks, and requests of those who wait for the start, are answered as always and not written down.
fn answer(state: &Mutex<State>, request: &Request, connection: &mut Connection) -> Option<()> {
    if request.field("x-haproxy-server-state").is_some() || request.line().contains("/health") {
        return connection.send(OK).ok();
    }
    let special = {
        let mut state = lock(state);
        state.requests.push(Recorded::of(request));
        state.answer.clone()
    };
    connection.send(special.as_deref().unwrap_or(OK)).ok()?;
    special.is_none().then_some(())
}

impl Recorded {
    fn of(request: &Request) -> Self {
        let fields = request.fields().map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let of_connection =
            |name: &str, value: &str| name == "connection" && matches!(value, "close" | "keep-alive");
        let mut fields: Vec<_> = fields.filter(|(name, value)| !of_connection(name, value)).collect();
        fields.sort();
        Self { line: request.line().to_owned(), fields, body: request.body.clone() }
    }
}
