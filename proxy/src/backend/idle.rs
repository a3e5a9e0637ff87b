//! Idle connections to servers, kept by each core for itself.
//!
//! A connection is parked when its response is finished and taken out for the next request, the youngest first. What
//! ends one before that: its server drains or goes down (at once, on every core; not while it drains softly, where a user
//! has authenticated it), another core needs a connection and
//! `maxconn` is reached or a request needs a new one, the server closes it, or nobody has wanted it for [`MAX_IDLE`].
//!
//! They are closed, not reset: a server that has answered early may not have read all of the request that it answered,
//! and a reset may take the rest from it. The price is a source port in TIME-WAIT for a minute per close; where requests
//! that need new connections come by the hundreds each second, `net.ipv4.tcp_tw_reuse = 1` is needed.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::broadcast::{self, error::RecvError},
    task::{AbortHandle, JoinHandle, spawn_local},
    time::Instant,
};

use super::{Backend, IdleOrder, OpenConnection, Server};
use crate::clock;

/// How long a connection is kept unused: HAProxy's `pool-purge-delay`, and no longer than Apache keeps it.
const MAX_IDLE: Duration = Duration::from_secs(5);

/// How often idle connections are looked through for those that servers have closed.
const SWEEP: Duration = Duration::from_secs(1);

/// Idle connections that a core keeps to a server: more than it has requests in flight at once is waste.
const MAX_PARKED: usize = 512;

/// The idle connections of one core to the servers of one backend.
#[derive(Debug)]
pub struct IdlePool {
    /// By server index; the youngest last.
    parked: RefCell<Vec<Vec<Parked>>>,
    /// What closes connections.
    tasks: RefCell<Vec<AbortHandle>>,
    heir: OnceCell<Option<Heir>>,
}

/// Who keeps a pool's connections when a newer configuration has come.
#[derive(Debug)]
struct Heir {
    pool: Rc<IdlePool>,
    /// Each server as the heir knows it, by its index in the older configuration; `None`: it is gone.
    servers: Vec<Option<Arc<Server>>>,
}

/// An open connection to a server.
#[derive(Debug)]
pub struct Connection {
    /// The socket; dropped before its permit, so that the server never sees more than `maxconn`.
    pub stream: TcpStream,
    /// What counts it.
    pub open: OpenConnection,
    /// It has served a request before: the server may close it at any moment.
    pub reused: bool,
    /// It has served several: its server keeps connections.
    pub proven: bool,
    /// Whose alone it is; once it has an owner it keeps it. `None`: it serves everybody.
    pub owner: Option<Owner>,
}

/// A client's connection, which a server's connection belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Its number, which no other client's connection has.
    pub client: u64,
    /// The server takes whatever comes on it for that user's.
    pub authenticated: bool,
}

/// Which idle connections will do for a request: those of its own client, and so many of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The number of its client's connection; `None`: it owns none.
    pub own: Option<u64>,
    /// Those that have no owner.
    pub shared: Shared,
}

/// Which connections without an owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shared {
    /// None of them.
    None,
    /// Those that have served several requests.
    Proven,
    /// All.
    Any,
}

#[derive(Debug)]
struct Parked {
    connection: Connection,
    since: Instant,
}

impl IdlePool {
    /// An empty pool. Call [`IdlePool::follow`] once on its core.
    pub fn new(backend: &Backend) -> Rc<Self> {
        let parked = RefCell::new(backend.servers().iter().map(|_| Vec::new()).collect());
        Rc::new(Self { parked, tasks: RefCell::default(), heir: OnceCell::new() })
    }

    /// Starts what closes connections, as tasks of this core: one for the orders of all servers, one that sweeps.
    pub fn follow(self: &Rc<Self>, backend: &Backend) {
        let Some(first) = backend.servers().first() else { return };
        // What is parked from now on is under the orders that come from now on.
        let follow = self.clone().follow_orders(first.idle_orders(), backend.servers().to_vec());
        let tasks = [spawn_local(follow), spawn_local(self.clone().sweep(backend.servers().to_vec()))];
        self.tasks.borrow_mut().extend(tasks.iter().map(JoinHandle::abort_handle));
    }

    /// Ends: what is parked here now or later goes to `heir`, a pool for a newer configuration that follows its orders
    /// already; connections to servers that are not in it are closed.
    pub fn bequeath(&self, own: &Backend, heir: Option<(Rc<Self>, &Backend)>) {
        let heir = heir.map(|(pool, backend)| {
            let known: HashMap<_, _> =
                backend.servers().iter().map(|server| (server.identity(), server)).collect();
            let heir_of = |server: &Arc<Server>| known.get(&server.identity()).map(|&server| server.clone());
            Heir { pool, servers: own.servers().iter().map(heir_of).collect() }
        });
        for task in self.tasks.take() {
            task.abort();
        }
        let parked = self.parked.take();
        if self.heir.set(heir).is_ok() {
            for (index, connections) in parked.into_iter().enumerate() {
                for idle in connections {
                    self.pass_on(index, idle);
                }
            }
        }
    }

    fn pass_on(&self, index: usize, idle: Parked) {
        let Some(Some(heir)) = self.heir.get() else { return };
        let Some(server) = &heir.servers[index] else { return };
        heir.pool.put(server, idle);
    }

    /// The youngest connection to this server that is still open, one that the client owns before others.
    pub fn take(&self, server: &Server, claim: Claim) -> Option<Connection> {
        if let Some(heir) = self.heir.get() {
            let heir = heir.as_ref()?;
            return heir.pool.take(heir.servers[server.index()].as_ref()?, claim);
        }
        let mut parked = self.parked.borrow_mut();
        let parked = &mut parked[server.index()];
        while let Some(at) = claim.find(parked) {
            let Parked { mut connection, .. } = parked.remove(at);
            if is_silent(&connection.stream) {
                connection.open.set_idle(false);
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response has been read to its end, which is `now`, unless its server keeps none.
    pub fn park(&self, server: &Server, mut connection: Connection, now: Instant) {
        connection.proven = connection.reused;
        connection.reused = true;
        self.put(server, Parked { connection, since: now });
    }

    fn put(&self, server: &Server, mut idle: Parked) {
        if self.heir.get().is_some() {
            return self.pass_on(server.index(), idle);
        }
        let mut parked = self.parked.borrow_mut();
        let parked = &mut parked[server.index()];
        match idle.connection.owner {
            None if !server.keeps_idle() || is_full(parked, MAX_PARKED) => return,
            Some(Owner { authenticated: true, .. }) if !server.operation().keeps_pinned_users() => return,
            Some(Owner { authenticated: false, .. }) if !server.keeps_idle() => return,
            // One for each client, whose number bounds them.
            Some(owner) => parked.retain(|parked| !parked.is_of(owner.client)),
            None => {}
        }
        if server.take_claim() {
            return;
        }
        idle.connection.open.set_idle(true);
        parked.push(idle);
    }

    /// Closes what this client's connection owned.
    pub fn forget(&self, client: u64) {
        if let Some(Some(heir)) = self.heir.get() {
            return heir.pool.forget(client);
        }
        for parked in self.parked.borrow_mut().iter_mut() {
            parked.retain(|parked| !parked.is_of(client));
        }
    }

    /// Closes the connection that has been idle for the longest, one that serves everybody before those that are owned;
    /// tells whether there was one.
    pub fn close_one(&self, server: &Server) -> bool {
        self.close_shared(server) || self.close_first(server, |_| true)
    }

    /// Closes the connection to any server that has been idle for the longest and serves everybody; tells whether there
    /// was one.
    pub fn close_any(&self) -> bool {
        if let Some(heir) = self.heir.get() {
            return heir.as_ref().is_some_and(|heir| heir.pool.close_any());
        }
        let mut parked = self.parked.borrow_mut();
        let firsts = parked.iter_mut().filter_map(|parked| {
            let at = parked.iter().position(Parked::is_shared)?;
            Some((parked[at].since, at, parked))
        });
        let oldest = firsts.min_by_key(|(since, ..)| *since);
        oldest.map(|(_, at, parked)| parked.remove(at)).is_some()
    }

    /// The same among those that serve everybody.
    pub fn close_shared(&self, server: &Server) -> bool {
        self.close_first(server, Parked::is_shared)
    }

    fn close_first(&self, server: &Server, will_do: fn(&Parked) -> bool) -> bool {
        if let Some(heir) = self.heir.get() {
            let server =
                heir.as_ref().and_then(|heir| Some((&heir.pool, heir.servers[server.index()].as_ref()?)));
            return server.is_some_and(|(pool, server)| pool.close_first(server, will_do));
        }
        let mut parked = self.parked.borrow_mut();
        let parked = &mut parked[server.index()];
        let found = parked.iter().position(will_do);
        found.map(|at| parked.remove(at)).is_some()
    }

    async fn follow_orders(
        self: Rc<Self>,
        mut orders: broadcast::Receiver<IdleOrder>,
        servers: Vec<Arc<Server>>,
    ) {
        let by_id: HashMap<usize, usize> =
            servers.iter().map(|server| (server.identity(), server.index())).collect();
        loop {
            match orders.recv().await {
                Ok(order) => {
                    // Another generation may have other servers.
                    if let Some(&index) = by_id.get(&order.server) {
                        self.obey(&servers[index], order.all);
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    for server in &servers {
                        self.obey(server, !server.operation().takes_new_users());
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn obey(&self, server: &Server, all: bool) {
        if all {
            let keeps_pinned = server.operation().keeps_pinned_users();
            self.parked.borrow_mut()[server.index()].retain(|idle| keeps_pinned && idle.is_authenticated());
            return;
        }
        // All cores are told; whoever has one takes the claim.
        let has_one = || !self.parked.borrow()[server.index()].is_empty();
        while has_one() && server.take_claim() {
            self.close_one(server);
        }
    }

    /// Closes what another process that takes over may need, before it has to wait for that.
    pub fn make_way(&self, backend: &Backend) {
        for (server, parked) in backend.servers().iter().zip(self.parked.borrow_mut().iter_mut()) {
            if server.has_joint_limit() {
                parked.retain(|idle| !idle.is_shared());
            }
        }
    }

    async fn sweep(self: Rc<Self>, servers: Vec<Arc<Server>>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = clock::now();
            for (server, parked) in servers.iter().zip(self.parked.borrow_mut().iter_mut()) {
                let is_wanted = server.is_wanted_elsewhere();
                parked.retain(|idle| {
                    let in_time = now.duration_since(idle.since) < MAX_IDLE && !is_wanted;
                    // One that is owned lasts as long as its client.
                    (in_time || !idle.is_shared()) && is_silent(&idle.connection.stream)
                });
            }
        }
    }
}

impl Parked {
    /// In the midst of its handshake a pinned user needs it while the server drains softly, too.
    fn is_authenticated(&self) -> bool {
        self.connection.owner.is_some_and(|owner| owner.authenticated)
    }

    /// It serves everybody.
    fn is_shared(&self) -> bool {
        self.connection.owner.is_none()
    }

    fn is_of(&self, client: u64) -> bool {
        self.connection.owner.is_some_and(|owner| owner.client == client)
    }
}

impl Claim {
    /// The place of the one to take.
    fn find(self, parked: &[Parked]) -> Option<usize> {
        let own = self.own.and_then(|client| parked.iter().rposition(|parked| parked.is_of(client)));
        let will_do =
            |parked: &Parked| parked.is_shared() && (self.shared == Shared::Any || parked.connection.proven);
        own.or_else(|| (self.shared != Shared::None).then(|| parked.iter().rposition(will_do)).flatten())
    }
}

/// Whether there are as many that serve everybody as are kept: those that are owned are bounded by their clients.
fn is_full(parked: &[Parked], most: usize) -> bool {
    // Mostly the length alone says so.
    parked.len() >= most && parked.iter().filter(|parked| parked.is_shared()).count() >= most
}

/// Nothing has come and the server has not closed. Costs no system call unless the runtime says that something is there;
/// it may say so of what was read before, and only the socket knows.
fn is_silent(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::Operation;
    use super::super::fixture::{backend_of, server, settings};
    use super::*;

    async fn parked(backend: &Backend, listener: &TcpListener, owned: bool) -> Parked {
        Parked {
            connection: Connection {
                stream: TcpStream::connect(listener.local_addr().unwrap()).await.unwrap(),
                open: backend.servers()[0].try_connection().unwrap(),
                reused: true,
                proven: true,
                owner: owned.then_some(Owner { client: 1, authenticated: true }),
            },
            since: clock::now(),
        }
    }

    #[tokio::test]
    async fn a_soft_drain_closes_all_but_what_a_user_has_authenticated_and_a_hard_one_that_too() {
        let backend = backend_of(settings(vec![server("a")]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = IdlePool::new(&backend);
        let server = &backend.servers()[0];
        for owned in [true, false, false] {
            pool.put(server, parked(&backend, &listener, owned).await);
        }
        let left = |operation: Operation| {
            backend.set_operation(0, operation, false);
            pool.obey(server, true);
            (server.idle(), server.open())
        };
        assert_eq!(left(Operation::Soft), (1, 1));
        assert_eq!(left(Operation::Down), (0, 0));
    }

    #[tokio::test]
    async fn connections_that_are_owned_take_no_room_from_the_others() {
        let backend = backend_of(settings(vec![server("a")]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let parked = async |owned: bool| parked(&backend, &listener, owned).await;
        let all = [parked(true).await, parked(false).await, parked(true).await, parked(false).await];
        assert_eq!([1, 2, 3, 4].map(|most| is_full(&all, most)), [true, true, false, false]);
    }
}
