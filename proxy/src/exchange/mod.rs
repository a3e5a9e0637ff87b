//! Requests and their responses: from a client's connection to a server's and back.
//!
//! ```text
//! client ── next request? ──► head ──► slot ──► connection ──► relay ──► record ──┐
//!    ▲      (no buffer)      refused   queued    retried,      both ways           │
//!    └──────────────────────── keep-alive ◄───────────────────────────────────────┘
//! ```
//!
//! What holds here:
//! - an idle client connection holds no buffer, and no more memory than its task;
//! - a request is sent again only when no server can have executed it, or when that does no harm ([`retry`]); what is
//!   not idempotent, or does not lie in memory as a whole, never goes out on a connection that has served before but its
//!   own user's authenticated one, so that a server that closes an idle connection hurts nobody else;
//! - a server's connection is parked or closed before its slot is given back, and serves on only when request and
//!   response have both been read to their end;
//! - a response that breaks off is broken off towards the client too, never ended as if it were whole.

mod answer;
mod attempt;
mod authentication;
mod body;
mod buffer;
mod capture;
mod client;
mod connect;
mod ending;
mod farm;
mod page;
mod pipe;
mod record;
mod relay;
mod replay;
mod request;
mod resume;
mod retry;
mod ruling;
pub mod sessions;
mod snapshots;
mod splice;
#[cfg(test)]
mod tests;
mod timer;
mod trailers;

use std::{
    cell::{Cell, OnceCell},
    fmt,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot},
};

use self::{buffer::Pool, trailers::Withheld};
use crate::{
    backend::{Backend, Server, idle::IdlePool},
    config,
    rules::{Reply, Service},
    served::{Counter, Peak, Served},
    snapshot::Last,
};

pub use self::{
    capture::Captured,
    record::{Notes, Record, Sink},
    replay::Budget,
    splice::spliced_bytes,
};

/// Makes the pages by which the proxy tells of itself.
pub trait Pages: fmt::Debug {
    /// Has the answer made, on no core; where it does not come, too many have been asked for.
    fn page(&self, wanted: WantedPage) -> oneshot::Receiver<Reply>;
}

/// A page that a client asks for.
#[derive(Debug)]
pub struct WantedPage {
    /// What it is to tell.
    pub service: Service,
    /// The frontend or the backend at whose address it is.
    pub of: Arc<str>,
    /// What was sent with the request, or HAProxy's word for why it is not read.
    pub form: Result<Vec<u8>, &'static str>,
}

/// What all connections of one frontend on one core have in common, by one configuration.
pub struct Core {
    frontend: config::Frontend,
    backend: Arc<Backend>,
    /// What tells servers the client's address, and what it connected to.
    address_fields: [Option<config::AddressField>; 2],
    withheld: Withheld,
    idle: Rc<IdlePool>,
    pool: Rc<Pool>,
    head_bytes: usize,
    sink: Option<Rc<dyn Sink>>,
    open: OpenCounts,
    /// What may be kept of requests, over all cores.
    budget: Arc<Budget>,
    /// Responses say that their connection closes.
    stopping: Rc<Cell<bool>>,
    /// Connections without a request close.
    closing: Cell<bool>,
    stop: Notify,
    /// The same by a newer configuration: what holds for the next request.
    successor: OnceCell<Rc<Core>>,
    /// The same with other backends, by their places in the configuration.
    others: OnceCell<Vec<(usize, Rc<Core>)>>,
    /// All backends of the configuration, of which rules may ask.
    all: OnceCell<Rc<[Arc<Backend>]>>,
    /// What makes the statistics; nothing: nobody does.
    pages: OnceCell<Arc<dyn Pages + Send + Sync>>,
}

/// Client connections that are open, over all cores, and what the frontend has done for them.
#[derive(Clone, Debug, Default)]
pub struct OpenCounts {
    /// Of the process.
    pub process: Arc<AtomicU32>,
    /// Of the frontend.
    pub frontend: Arc<AtomicU32>,
    /// The most that the frontend has had at once.
    pub most: Arc<Peak>,
    /// What the frontend has served.
    pub served: Arc<Served>,
    /// What came last that was no request.
    pub last_bad: Arc<Last>,
}

impl Core {
    /// A core's share of a frontend; `sink` takes the records for the access log.
    pub fn new(
        frontend: config::Frontend,
        backend: Arc<Backend>,
        idle: Rc<IdlePool>,
        limits: &config::Limits,
        sink: Option<Rc<dyn Sink>>,
        open: OpenCounts,
        budget: Arc<Budget>,
    ) -> Rc<Self> {
        let head_bytes = limits.head_bytes;
        let pool = Pool::new(head_bytes);
        let (stopping, closing, stop) = (Rc::default(), Cell::new(false), Notify::new());
        let (successor, others) = (OnceCell::new(), OnceCell::new());
        let (all, pages) = (OnceCell::new(), OnceCell::new());
        let address_fields = address_fields(&frontend, backend.settings());
        Rc::new(Self {
            withheld: Withheld::by(&frontend, backend.settings(), &address_fields),
            address_fields,
            frontend,
            backend,
            idle,
            pool,
            head_bytes,
            sink,
            open,
            budget,
            stopping,
            closing,
            stop,
            successor,
            others,
            all,
            pages,
        })
    }

    /// From now on its rules may send requests to these backends, too, each with its place in the configuration, and ask
    /// how `all` there are do; `pages` makes the statistics. Only the first call counts.
    pub fn reach(
        &self,
        backends: impl Iterator<Item = (usize, Arc<Backend>, Rc<IdlePool>)>,
        all: &Rc<[Arc<Backend>]>,
        pages: Option<Arc<dyn Pages + Send + Sync>>,
    ) {
        let _ = self.all.set(all.clone());
        if let Some(pages) = pages {
            let _ = self.pages.set(pages);
        }
        let other = |(place, backend, idle): (usize, Arc<Backend>, Rc<IdlePool>)| {
            let address_fields = address_fields(&self.frontend, backend.settings());
            let core = Self {
                withheld: Withheld::by(&self.frontend, backend.settings(), &address_fields),
                address_fields,
                frontend: self.frontend.clone(),
                backend,
                idle,
                pool: self.pool.clone(),
                head_bytes: self.head_bytes,
                sink: self.sink.clone(),
                open: self.open.clone(),
                budget: self.budget.clone(),
                stopping: self.stopping.clone(),
                closing: Cell::new(false),
                stop: Notify::new(),
                successor: OnceCell::new(),
                others: OnceCell::new(),
                all: all.clone().into(),
                pages: self.pages.clone(),
            };
            (place, Rc::new(core))
        };
        let _ = self.others.set(backends.map(other).collect());
    }

    /// The same with the backend of this place.
    fn with_backend(&self, place: usize) -> &Self {
        self.others().find(|(of, _)| *of == place).map_or(self, |(_, core)| core)
    }

    fn others(&self) -> impl Iterator<Item = &(usize, Rc<Self>)> {
        self.others.get().into_iter().flatten()
    }

    /// `to`, which is this one or one that its rules lead to, to be held.
    fn held(self: &Rc<Self>, to: &Self) -> Rc<Self> {
        let mut others = self.others().map(|(_, core)| core);
        others.find(|core| std::ptr::eq(Rc::as_ptr(core), to)).unwrap_or(self).clone()
    }

    /// The connections to servers that belong to this client are of no use to anybody else.
    fn forget(&self, client: u64) {
        self.idle.forget(client);
        self.others().for_each(|(_, core)| core.idle.forget(client));
    }

    /// Whether some rule looks at requests.
    fn has_rules(&self) -> bool {
        !(self.frontend.rules.is_empty() && self.backend.settings().rules.is_empty())
    }

    /// Whether some rule looks at responses.
    fn changes_responses(&self) -> bool {
        self.frontend.rules.has_response() || self.backend.settings().rules.has_response()
    }

    /// Whether some rule looks at whatever clients get.
    fn changes_answers(&self) -> bool {
        self.frontend.rules.has_after_response() || self.backend.settings().rules.has_after_response()
    }

    /// Whether rules look at a request again when it is answered.
    fn asks_again(&self) -> bool {
        self.makes_pages() || self.changes_responses()
    }

    /// Whether the answer to some error is made anew for each request.
    fn makes_pages(&self) -> bool {
        self.frontend.rules.makes_pages() || self.backend.settings().rules.makes_pages()
    }

    /// From now on each request that begins is served by `successor`, on whatever connection. Only the first one counts.
    pub fn succeed(&self, successor: Rc<Self>) {
        let _ = self.successor.set(successor);
    }

    /// The last successor, if there is any.
    pub fn newest(&self) -> Option<Rc<Self>> {
        let mut newest = self.successor.get()?;
        while let Some(newer) = newest.successor.get() {
            newest = newer;
        }
        Some(newest.clone())
    }

    /// Each client connection closes after its next response, or after the one that is under way. None is closed before:
    /// its client may be sending already.
    pub fn close_after_responses(&self) {
        self.stopping.set(true);
    }

    /// Soft stop: idle client connections close now, the others after the response that is under way.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.closing.set(true);
        self.stop.notify_waiters();
    }

    /// Whether connections to this server serve more than the client for whom they were opened.
    fn shares_idle(&self, server: &Server) -> bool {
        self.backend.settings().reuse != config::Reuse::Never && server.settings().send_proxy.is_none()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.get()
    }
}

/// What tells servers of the backend addresses of the frontend's clients.
fn address_fields(
    frontend: &config::Frontend,
    backend: &config::Backend,
) -> [Option<config::AddressField>; 2] {
    [(&frontend.forward_for, &backend.forward_for), (&frontend.original_to, &backend.original_to)]
        .map(|(front, back)| config::AddressField::of_both(front.as_ref(), back.as_ref()))
}

/// Serves a client's connection until it is over; a task of the core that accepted it. The socket should send at once
/// (`TCP_NODELAY`). `held` is let go of when it is over.
pub fn serve<H>(
    core: Rc<Core>,
    stream: TcpStream,
    client: SocketAddr,
    held: H,
) -> impl Future<Output = ()> + use<H> {
    let opened = Opened::new(&core.open);
    client::serve(core, stream, client, (opened, held))
}

/// Counts a connection as long as it is open.
struct Opened([Arc<AtomicU32>; 2]);

impl Opened {
    fn new(counts: &OpenCounts) -> Self {
        counts.process.fetch_add(1, Ordering::Relaxed);
        counts.most.note(counts.frontend.fetch_add(1, Ordering::Relaxed) + 1);
        counts.served.count(Counter::Connections);
        Self([counts.process.clone(), counts.frontend.clone()])
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        for count in &self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
