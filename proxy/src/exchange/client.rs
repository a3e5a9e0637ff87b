//! A client's connection: request after request, and nothing in memory between them.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{
    Core,
    buffer::{Buffer, Size, poll_fill},
    record::{Notes, Story},
    request,
    timer::Timer,
};
use crate::{
    backend::{
        Server,
        idle::{Connection, Owner},
    },
    clock,
    proxy_protocol::{Passage, Read, read},
    rules::Variables,
};

/// How long a client that has stopped sending is listened to after the last answer: long enough for the answer to
/// arrive. Closing at once would have the kernel throw the answer away.
const LINGER: Duration = Duration::from_secs(2);

/// How long one that goes on sending is: many send all they have before they look for the answer, and who needs longer
/// than this for the rest will find the connection reset.
const LINGER_IN_ALL: Duration = Duration::from_secs(30);

/// Empty lines that are skipped before a request (RFC 9112 2.2). Old clients send one after a body; who sends more than
/// a few would keep a connection busy with nothing.
const MAX_EMPTY_LINES: u8 = 4;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) timer: Timer,
    /// Read, and not part of any request yet.
    pub(super) input: Option<Buffer>,
    /// Empty lines that came since the last request.
    empty_lines: u8,
    /// A request has been answered on it.
    pub(super) served: bool,
    /// What few connections have.
    pub(super) rare: Option<Box<Rare>>,
}

/// What few clients' connections have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// What the client connected to, as a balancer before this proxy has said.
    destination: Option<SocketAddr>,
    /// Its number, once connections to servers belong to it.
    number: Option<u64>,
    /// The server that has authenticated its connection: whatever comes next belongs there, too.
    bound_to: Option<Arc<Server>>,
    /// What rules keep from request to request.
    variables: Variables,
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// The next request.
    Next,
    /// It closes.
    Close,
    /// It is reset: what the client got must not pass for the whole.
    Abort,
    /// It closes, but the client may still be sending.
    Linger,
}

/// Serves a connection until it is over; `held` is let go of then.
///
/// What an async function is given lies in its memory twice: as it came, and as it goes on. Here thousands wait, hence
/// a block that holds everything once, and boxes for what is seldom needed.
pub(super) fn serve<H>(
    mut core: Rc<Core>,
    stream: TcpStream,
    address: SocketAddr,
    held: H,
) -> impl Future<Output = ()> + use<H> {
    let timer = Timer::new(clock::now() + core.frontend.timeout.http_request);
    let mut client =
        Client { stream, address, timer, input: None, empty_lines: 0, served: false, rare: None };
    async move {
        let _held = &held;
        poll_fn(|cx| {
            client.timer.arm(cx);
            Poll::Ready(())
        })
        .await;
        let announces =
            core.frontend.accept_proxy.as_ref().is_some_and(|accept| accept.expects(client.address.ip()));
        if announces && !Box::pin(client.announced(&core)).await {
            return;
        }
        let after = client.requests(&mut core).await;
        if let Some(number) = client.number() {
            core.forget(number);
        }
        match after {
            After::Next | After::Close => {}
            After::Abort => client.abort(),
            After::Linger => Box::pin(client.linger(&core)).await,
        }
    }
}

impl Client {
    /// One request after the other; gives what is to be done after the last.
    async fn requests(&mut self, core: &mut Rc<Core>) -> After {
        while self.next_request(core).await {
            // By the configuration that has set the timer.
            let ready = self.ready_since(core);
            if let Some(newest) = core.newest() {
                self.follow(&newest);
                *core = newest;
            }
            match Box::pin(request::serve(core, self, ready)).await {
                After::Next => self.served = true,
                after => return after,
            }
        }
        After::Close
    }

    /// Reads the PROXY protocol's header, within the time that the first request has; false: there is none, and
    /// whoever this is gets no answer.
    async fn announced(&mut self, core: &Core) -> bool {
        let own = self.address;
        let header = poll_fn(|cx| {
            loop {
                match self.input.as_ref().map_or(Ok(Read::Incomplete), |input| read(input.filled())) {
                    Ok(Read::Incomplete) => {}
                    Ok(Read::Header { length, passage }) => return Poll::Ready(Some((length, passage))),
                    Err(error) => {
                        tracing::debug!(from = %own, %error, "connection refused");
                        return Poll::Ready(None);
                    }
                }
                match poll_fill(cx, &mut self.stream, &mut self.input, &core.pool, Size::Head) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(None),
                    Poll::Pending => return self.timer.poll_expired(cx).map(|()| None),
                }
            }
        })
        .await;
        let Some((length, passage)) = header else { return false };
        if let Some(input) = &mut self.input {
            input.consume(length);
        }
        if let Some(passage) = passage {
            self.address = passage.source;
            self.rare.get_or_insert_default().destination = Some(passage.destination);
        }
        true
    }

    /// Since when it has been waited for: its connection's beginning, or the end of the request before. To be asked while
    /// the time for the first byte is what its timer has.
    fn ready_since(&self, core: &Core) -> Instant {
        let timeout = &core.frontend.timeout;
        let allowed = if self.served { timeout.http_keep_alive } else { timeout.http_request };
        let deadline = self.timer.deadline();
        deadline.checked_sub(allowed).unwrap_or(deadline)
    }

    /// What a line of a format of its own may say of the request that begins.
    pub(super) fn notes(&self, story: &Story) -> Notes {
        // Of the whole process.
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        Notes {
            destination: self.passage().destination,
            idle: story.idle,
            number: REQUESTS.fetch_add(1, Ordering::Relaxed),
            is_first: !self.served,
            unique_id: Vec::new(),
            variables: Variables::default(),
        }
    }

    /// From where to where it goes, for who is told by the PROXY protocol.
    pub(super) fn passage(&self) -> Passage {
        let announced = self.rare.as_ref().and_then(|rare| rare.destination);
        // A socket without an address has been reset; what is written then goes nowhere.
        let destination = announced.or_else(|| self.stream.local_addr().ok()).unwrap_or(self.address);
        Passage { source: self.address, destination }
    }

    /// What rules have kept from the requests before.
    pub(super) fn variables(&self) -> Variables {
        self.rare.as_ref().map(|rare| rare.variables.clone()).unwrap_or_default()
    }

    /// Rules keep this for the requests to come.
    pub(super) fn keep(&mut self, variables: Variables) {
        if self.rare.is_some() || !variables.is_empty() {
            self.rare.get_or_insert_default().variables = variables;
        }
    }

    /// The number by which connections to servers belong to it, if any may.
    pub(super) fn number(&self) -> Option<u64> {
        self.rare.as_ref()?.number
    }

    /// This server has authenticated its connection.
    pub(super) fn is_bound_to(&self, server: &Server) -> bool {
        self.rare.as_ref().and_then(|rare| rare.bound_to.as_ref()).is_some_and(|bound| bound.is(server))
    }

    /// The server among these that has authenticated its connection, by index.
    pub(super) fn bound_among(&self, servers: &[Arc<Server>]) -> Option<usize> {
        let bound = self.rare.as_ref()?.bound_to.as_ref()?;
        servers.iter().position(|server| bound.is(server))
    }

    /// A server's connection is this client's alone from now on.
    pub(super) fn own(&mut self, connection: &mut Connection, authenticated: bool) {
        // Of the whole process: connections move from one configuration's pool to the next one's.
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let rare = self.rare.get_or_insert_default();
        let client = *rare.number.get_or_insert_with(|| NUMBERS.fetch_add(1, Ordering::Relaxed));
        if authenticated {
            rare.bound_to = Some(connection.open.server().clone());
        }
        let authenticated = authenticated || connection.owner.is_some_and(|owner| owner.authenticated);
        connection.owner = Some(Owner { client, authenticated });
    }

    /// Ready when the client has closed its half of the connection, and nothing that it sent before is left to read.
    pub(super) fn poll_closed(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        match stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Waits for the first bytes of a request; false: there will be none. The time for it has begun with the end of the
    /// one before, or for the first with the connection; who lets that pass is told so by [`request::serve`].
    async fn next_request(&mut self, core: &Core) -> bool {
        self.empty_lines = 0;
        self.skip_empty_lines();
        if self.input.is_some() {
            return true;
        }
        if core.closing.get() {
            return false;
        }
        let mut stopped = pin!(core.stop.notified());
        poll_fn(|cx| {
            // Read, not only asked for readiness: the runtime may take a new socket for readable.
            while let Poll::Ready(read) =
                poll_fill(cx, &mut self.stream, &mut self.input, &core.pool, Size::Head)
            {
                if !read.is_ok_and(|count| count > 0) {
                    // The end before the first request is an answer's worth, see there.
                    return Poll::Ready(!self.served);
                }
                self.skip_empty_lines();
                if self.input.is_some() {
                    return Poll::Ready(true);
                }
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            self.timer.poll_expired(cx).map(|()| !self.served)
        })
        .await
    }

    /// The next request is served by a newer configuration, which may allow a longer head.
    fn follow(&mut self, core: &Core) {
        if let Some(input) = &mut self.input {
            input.enlarge_for(&core.pool);
        }
    }

    /// Nothing at all has come from it.
    pub(super) const fn is_silent(&self) -> bool {
        self.input.is_none() && self.empty_lines == 0 && !self.served
    }

    /// Forgets the empty lines that the input begins with, as far as they are allowed; what is left begins a request.
    pub(super) fn skip_empty_lines(&mut self) {
        let Some(input) = &mut self.input else { return };
        while self.empty_lines < MAX_EMPTY_LINES && input.filled().starts_with(b"\r\n") {
            input.consume(2);
            self.empty_lines += 1;
        }
        if input.is_empty() {
            self.input = None;
        }
    }

    /// Has the client find its connection reset. Where that fails it has been reset already.
    fn abort(&self) {
        drop(self.stream.set_zero_linger());
    }

    /// Says that nothing more will come, and listens until the client has seen it.
    async fn linger(&mut self, core: &Core) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let end = clock::now() + LINGER_IN_ALL;
        self.timer.set(clock::now() + LINGER);
        poll_fn(|cx| {
            loop {
                self.input = None;
                match poll_fill(cx, &mut self.stream, &mut self.input, &core.pool, Size::Relay) {
                    Poll::Ready(Ok(count)) if count > 0 && clock::now() < end => {
                        self.timer.set(end.min(clock::now() + LINGER));
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll_expired(cx),
                }
            }
        })
        .await;
    }
}
