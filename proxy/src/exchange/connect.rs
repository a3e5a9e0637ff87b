//! A slot, and a connection to its server.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::Duration,
};

use rustix::io::Errno;
use thiserror::Error;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Core, client::Client, record::Story};
use crate::{
    backend::{
        Admission, OpenConnection, Refusal, Slot, Ticket, Wish,
        idle::{Claim, Connection, Shared},
    },
    clock, proxy_protocol,
};

/// What this machine may lack for any connection: descriptors, memory.
const EXHAUSTED: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

/// Why there is no slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(super) enum NoSlot {
    /// Nobody can take the request.
    #[error("expected a server that can take the request, found none")]
    NoServer,
    /// Others were before it.
    #[error("expected a free slot within `timeout.queue`, found none")]
    QueueTimeout,
    /// Too many were before it.
    #[error("expected room in the server's queue, found as many as `maxqueue`")]
    QueueFull,
    /// It waits no longer.
    #[error(transparent)]
    GivenUp(#[from] GivenUp),
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum NoConnection {
    /// The server, or the network, said no.
    #[error("expected the server to accept a connection, found: {0}")]
    Refused(io::Error),
    /// All source ports towards this server are taken. It is not to blame; others have ports of their own.
    #[error("expected a free source port towards the server, found: {0}; see net.ipv4.ip_local_port_range")]
    NoPort(io::Error),
    /// This machine has no descriptor or memory left for one. No server is to blame, and none can help.
    #[error("expected to have the means for a connection, found: {0}; raise the limit that this names")]
    Exhausted(io::Error),
    /// The server has as many connections as it may, mostly of a process that this one takes over from. It is not to
    /// blame.
    #[error(
        "expected room for one more connection to the server within `timeout.queue`, found `maxconn` of them"
    )]
    NoRoom,
    /// The server has left while the request waited for it.
    #[error("expected a server that still takes the request, found that it drains or is down")]
    Left,
    /// Nobody answered.
    #[error("expected a connection within `timeout.connect`, found no answer")]
    Timeout,
    /// The request waits no longer.
    #[error(transparent)]
    GivenUp(#[from] GivenUp),
}

/// Why a request waits no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(super) enum GivenUp {
    /// Nobody waits for the answer any more.
    #[error("expected a client that waits for its answer, found its connection closed")]
    ForNobody,
    /// An operator has ended it.
    #[error("expected to wait, was ended by `shutdown session`")]
    ShutDown,
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::ADDRNOTAVAIL) => Self::NoPort(error),
            Some(errno) if EXHAUSTED.contains(&errno) => Self::Exhausted(error),
            _ => Self::Refused(error),
        }
    }
}

impl NoConnection {
    /// HAProxy's letters for the log.
    pub(super) const fn cause(&self) -> [u8; 2] {
        match self {
            Self::NoPort(_) | Self::Exhausted(_) => *b"RC",
            Self::NoRoom => *b"sQ",
            Self::Timeout => *b"sC",
            Self::Refused(_) | Self::Left | Self::GivenUp(_) => *b"SC",
        }
    }
}

/// Waits for a slot.
pub(super) async fn slot(
    core: &Core,
    wish: Wish,
    client: &mut Client,
    story: &mut Story,
) -> Result<Slot, NoSlot> {
    match core.backend.admit(wish) {
        Admission::Granted(slot) => Ok(slot),
        Admission::Refused(Refusal::NoServer) => Err(NoSlot::NoServer),
        Admission::Refused(Refusal::QueueFull { index }) => {
            belongs(core, index, story);
            Err(NoSlot::QueueFull)
        }
        Admission::Queued(ticket) => Box::pin(wait(core, ticket, client, story)).await,
    }
}

/// Waits until its turn comes.
async fn wait(
    core: &Core,
    mut ticket: Ticket,
    client: &mut Client,
    story: &mut Story,
) -> Result<Slot, NoSlot> {
    story.queued_behind[usize::from(!ticket.is_pinned())] = ticket.before() + 1;
    if let Some(session) = &story.session {
        session.queues(story.retries);
    }
    let waited = within(core, client, story, core.backend.settings().timeout.queue, &mut ticket).await;
    if waited.is_err()
        && let Some(index) = ticket.server()
    {
        belongs(core, index, story);
    }
    match waited {
        Ok(Ok(slot)) => Ok(slot),
        Ok(Err(_)) => Err(NoSlot::NoServer),
        Err(Waited::TooLong) => Err(NoSlot::QueueTimeout),
        Err(Waited::Up(why)) => Err(why.into()),
    }
}

/// It ends at this server without having been there: as in HAProxy that is said of those who belong to one.
fn belongs(core: &Core, index: usize, story: &mut Story) {
    story.server = Some(core.backend.servers()[index].clone());
}

/// A connection to the slot's server: an idle one on which the request has a claim, else a new one. `pinned`: the
/// request belongs to this server.
pub(super) async fn connection(
    core: &Core,
    slot: &Slot,
    pinned: bool,
    claim: Claim,
    (client, story): (&mut Client, &mut Story),
) -> Result<Connection, NoConnection> {
    if !slot.stays(pinned) {
        return Err(NoConnection::Left);
    }
    match core.idle.take(slot.server(), claim) {
        Some(connection) => Ok(connection),
        None => Box::pin(connect(core, slot, pinned, claim, (client, story))).await,
    }
}

/// A new connection to the slot's server.
async fn connect(
    core: &Core,
    slot: &Slot,
    pinned: bool,
    claim: Claim,
    (client, story): (&mut Client, &mut Story),
) -> Result<Connection, NoConnection> {
    let server = slot.server();
    // A server may leave while a request waits for its slot, through a pause, or for a connection.
    let check = || {
        let stays = slot.stays(pinned);
        if stays { Ok(()) } else { Err(NoConnection::Left) }
    };
    if claim.shared == Shared::None && core.shares_idle(server) {
        // The new connection will be idle, too. Without this each POST would leave one more of them.
        core.idle.close_shared(server);
    }
    let open = match server.try_connection() {
        Some(open) => Some(open),
        // At `maxconn` an idle connection must go first: one of this core's, else one of another's.
        None if core.idle.close_one(server) => server.try_connection(),
        None => None,
    };
    let open = match open {
        Some(open) => open,
        None => room(core, slot, pinned, (client, story)).await?,
    };
    let header = server.settings().send_proxy.map(|version| {
        let mut header = Vec::new();
        proxy_protocol::write(version, client.passage(), &mut header);
        header
    });
    let connect = async {
        check()?;
        let mut stream = TcpStream::connect(server.settings().address).await?;
        check()?;
        stream.set_nodelay(true)?;
        if let Some(header) = &header {
            stream.write_all(header).await?;
        }
        Ok::<TcpStream, NoConnection>(stream)
    };
    match within(core, client, story, core.backend.settings().timeout.connect, connect).await {
        Ok(result) => Ok(Connection { stream: result?, open, reused: false, proven: false, owner: None }),
        Err(Waited::TooLong) => Err(NoConnection::Timeout),
        Err(Waited::Up(why)) => Err(why.into()),
    }
}

/// Waits until the server may have one more connection. That is waiting in a queue: it says nothing of the server.
async fn room(
    core: &Core,
    slot: &Slot,
    pinned: bool,
    (client, story): (&mut Client, &mut Story),
) -> Result<OpenConnection, NoConnection> {
    let connection = slot.server().connection(|| slot.stays(pinned));
    let waited = within(core, client, story, core.backend.settings().timeout.queue, connection).await;
    // Not for the rest of a response that has begun: its times are known.
    if story.answered.is_none() {
        story.admitted = Some(clock::now());
    }
    match waited {
        Ok(Some(open)) => Ok(open),
        Ok(None) => Err(NoConnection::Left),
        Err(Waited::TooLong) => Err(NoConnection::NoRoom),
        Err(Waited::Up(why)) => Err(why.into()),
    }
}

/// Waits for so long, and as long as the client waits, too, where that is asked.
pub(super) async fn pause(
    core: &Core,
    client: &mut Client,
    story: &Story,
    time: Duration,
) -> Result<(), GivenUp> {
    match within(core, client, story, time, std::future::pending::<()>()).await {
        Err(Waited::Up(why)) => Err(why),
        Ok(()) | Err(Waited::TooLong) => Ok(()),
    }
}

/// Why waiting has ended without what was waited for.
enum Waited {
    TooLong,
    Up(GivenUp),
}

/// What the future gives within this time, and as long as the client waits for it where that is asked.
async fn within<T>(
    core: &Core,
    client: &mut Client,
    story: &Story,
    time: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Waited> {
    let deadline = clock::now() + time;
    client.timer.set(deadline);
    if let Some(session) = &story.session {
        session.expires(deadline);
    }
    let watches = core.backend.settings().abort_on_close;
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending if watches && Client::poll_closed(&client.stream, cx).is_ready() => {
            Poll::Ready(Err(Waited::Up(GivenUp::ForNobody)))
        }
        Poll::Pending if story.is_shut_down(cx) => Poll::Ready(Err(Waited::Up(GivenUp::ShutDown))),
        Poll::Pending => client.timer.poll_expired(cx).map(|()| Err(Waited::TooLong)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_no_fault_of_the_servers() {
        let of = |errno: Errno| NoConnection::from(io::Error::from(errno));
        assert!(matches!(of(Errno::MFILE), NoConnection::Exhausted(_)));
        assert!(matches!(of(Errno::ADDRNOTAVAIL), NoConnection::NoPort(_)));
        for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH] {
            assert!(matches!(of(errno), NoConnection::Refused(_)));
        }
    }
}
