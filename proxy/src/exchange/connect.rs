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
use tokio::net::TcpStream;

use super::{Core, record::Story, timer::Timer};
use crate::{
    backend::{Admission, OpenConnection, Refusal, Slot, Wish, idle::Connection},
    clock,
};

/// What this machine may lack for a connection: a source port, descriptors, memory.
const EXHAUSTED: [Errno; 5] = [Errno::ADDRNOTAVAIL, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

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
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum NoConnection {
    /// The server, or the network, said no.
    #[error("expected the server to accept a connection, found: {0}")]
    Refused(io::Error),
    /// This machine has no port, descriptor or memory left for one. No server is to blame, and none can help.
    #[error("expected to have the means for a connection, found: {0}; raise the limit that this names")]
    Exhausted(io::Error),
    /// The server has left while the request waited for it.
    #[error("expected a server that still takes the request, found that it drains or is down")]
    Left,
    /// Nobody answered.
    #[error("expected a connection within `timeout.connect`, found no answer")]
    Timeout,
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        let exhausted = Errno::from_io_error(&error).is_some_and(|errno| EXHAUSTED.contains(&errno));
        if exhausted { Self::Exhausted(error) } else { Self::Refused(error) }
    }
}

/// Waits for a slot.
pub(super) async fn slot(
    core: &Core,
    wish: Wish,
    timer: &mut Timer,
    story: &mut Story,
) -> Result<Slot, NoSlot> {
    let ticket = match core.backend.admit(wish) {
        Admission::Granted(slot) => return Ok(slot),
        Admission::Refused(Refusal::NoServer) => return Err(NoSlot::NoServer),
        Admission::Refused(Refusal::QueueFull) => return Err(NoSlot::QueueFull),
        Admission::Queued(ticket) => ticket,
    };
    story.queued_behind[usize::from(!ticket.is_pinned())] = ticket.before() + 1;
    match within(timer, core.backend.settings().timeout.queue, ticket).await {
        Some(Ok(slot)) => Ok(slot),
        Some(Err(_)) => Err(NoSlot::NoServer),
        None => Err(NoSlot::QueueTimeout),
    }
}

/// A connection to the slot's server: one that is idle where `reuse` allows it, else a new one. `pinned`: the request's
/// cookie names the server.
pub(super) async fn connection(
    core: &Core,
    slot: &Slot,
    pinned: bool,
    reuse: bool,
    timer: &mut Timer,
) -> Result<Connection, NoConnection> {
    let server = slot.server();
    // A server may leave while a request waits for its slot, through a pause, or for a connection.
    let check = || {
        let stays = slot.stays(pinned);
        if stays { Ok(()) } else { Err(NoConnection::Left) }
    };
    check()?;
    if let Some(connection) = reuse.then(|| core.idle.take(server)).flatten() {
        return Ok(connection);
    }
    if !reuse {
        // The new connection will be idle, too. Without this each POST would leave one more of them.
        core.idle.close_one(server);
    }
    let open = match server.try_connection() {
        Some(open) => Some(open),
        // At `maxconn` an idle connection must go first: one of this core's, else one of another's.
        None if core.idle.close_one(server) => server.try_connection(),
        None => None,
    };
    let connect = async {
        let open = match open {
            Some(open) => open,
            None => server.connection().await,
        };
        check()?;
        let stream = TcpStream::connect(server.settings().address).await?;
        check()?;
        stream.set_nodelay(true)?;
        Ok::<(TcpStream, OpenConnection), NoConnection>((stream, open))
    };
    match within(timer, core.backend.settings().timeout.connect, connect).await {
        Some(result) => {
            let (stream, open) = result?;
            Ok(Connection { stream, open, reused: false })
        }
        None => Err(NoConnection::Timeout),
    }
}

/// Waits for so long.
pub(super) async fn pause(timer: &mut Timer, time: Duration) {
    timer.set(clock::now() + time);
    poll_fn(|cx| timer.poll_expired(cx)).await;
}

/// What the future gives within this time.
async fn within<T>(timer: &mut Timer, time: Duration, future: impl Future<Output = T>) -> Option<T> {
    timer.set(clock::now() + time);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => timer.poll_expired(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_no_fault_of_the_servers() {
        for (errno, exhausted) in [
            (Errno::MFILE, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::HOSTUNREACH, false),
        ] {
            let error = NoConnection::from(io::Error::from(errno));
            assert_eq!(matches!(error, NoConnection::Exhausted(_)), exhausted, "{error}");
        }
    }
}
