//! Idle connections to servers, kept by each core for itself.
//!
//! A connection is parked when its response is finished and taken out for the next request, the youngest first. What
//! ends one before that: its server drains or goes down (at once, on every core), another core needs a connection and
//! `maxconn` is reached or a request needs a new one, the server closes it, or nobody has wanted it for [`MAX_IDLE`].
//!
//! They are closed, not reset: a server that has answered early may not have read all of the request that it answered,
//! and a reset may take the rest from it. The price is a source port in TIME-WAIT for a minute per close; where requests
//! that need new connections come by the hundreds each second, `net.ipv4.tcp_tw_reuse = 1` is needed.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{net::TcpStream, task::spawn_local, time::Instant};

use super::{Backend, OpenConnection, Server};
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
}

#[derive(Debug)]
struct Parked {
    connection: Connection,
    since: Instant,
}

impl IdlePool {
    /// An empty pool. Call [`IdlePool::follow`] once on its core.
    pub fn new(backend: &Backend) -> Rc<Self> {
        Rc::new(Self { parked: RefCell::new(backend.servers().iter().map(|_| Vec::new()).collect()) })
    }

    /// Starts what closes connections, as tasks of this core: one for each server's orders, one that sweeps.
    pub fn follow(self: &Rc<Self>, backend: &Backend) {
        for server in backend.servers() {
            spawn_local(self.clone().follow_orders(server.clone()));
        }
        spawn_local(self.clone().sweep());
    }

    /// The youngest connection to this server that is still open.
    pub fn take(&self, server: &Server) -> Option<Connection> {
        let mut parked = self.parked.borrow_mut();
        let parked = &mut parked[server.index()];
        while let Some(Parked { mut connection, .. }) = parked.pop() {
            if is_silent(&connection.stream) {
                connection.open.set_idle(false);
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response has been read to its end, unless its server keeps none.
    pub fn park(&self, server: &Server, mut connection: Connection) {
        let mut parked = self.parked.borrow_mut();
        let parked = &mut parked[server.index()];
        if !server.keeps_idle() || parked.len() >= MAX_PARKED {
            return;
        }
        connection.open.set_idle(true);
        connection.reused = true;
        parked.push(Parked { connection, since: clock::now() });
    }

    /// Closes the connection that has been idle for the longest; tells whether there was one.
    pub fn close_one(&self, server: &Server) -> bool {
        let mut parked = self.parked.borrow_mut();
        let parked = &mut parked[server.index()];
        !parked.is_empty() && {
            parked.remove(0);
            true
        }
    }

    async fn follow_orders(self: Rc<Self>, server: Arc<Server>) {
        let mut orders = server.idle_orders();
        let mut done = *orders.borrow_and_update();
        while orders.changed().await.is_ok() {
            let order = *orders.borrow_and_update();
            if order.close_all != done.close_all {
                self.parked.borrow_mut()[server.index()].clear();
            }
            if order.close_one != done.close_one {
                self.close_one(&server);
            }
            done = order;
        }
    }

    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = clock::now();
            for parked in self.parked.borrow_mut().iter_mut() {
                parked.retain(|idle| {
                    now.duration_since(idle.since) < MAX_IDLE && is_silent(&idle.connection.stream)
                });
            }
        }
    }
}

/// Nothing has come and the server has not closed. Costs no system call unless something is there.
fn is_silent(stream: &TcpStream) -> bool {
    match stream.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => true,
        // The runtime may say so of what was read before; only the socket knows.
        Poll::Ready(Ok(())) => {
            stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        }
        Poll::Ready(Err(_)) => false,
    }
}
