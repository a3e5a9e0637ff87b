//! A client's connection: request after request, and nothing in memory between them.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    Core,
    buffer::{Buffer, Size, poll_fill},
    request,
    timer::Timer,
};
use crate::clock;

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

/// Serves a connection until it is over.
pub(super) async fn serve(mut core: Rc<Core>, stream: TcpStream, address: SocketAddr) {
    let timer = Timer::new(clock::now() + core.frontend.timeout.http_request);
    let mut client = Client { stream, address, timer, input: None, empty_lines: 0, served: false };
    while client.next_request(&core).await {
        if let Some(newest) = core.newest() {
            client.follow(&newest);
            core = newest;
        }
        // Boxed, so that a connection that waits is small.
        match Box::pin(request::serve(&core, &mut client)).await {
            After::Next => client.served = true,
            After::Close => return,
            After::Abort => return client.abort(),
            After::Linger => return Box::pin(client.linger(&core)).await,
        }
    }
}

impl Client {
    /// Waits for the first bytes of a request; false: there will be none. The time for the first request has begun with
    /// the connection, and who lets it pass is told so by [`request::serve`].
    async fn next_request(&mut self, core: &Core) -> bool {
        self.empty_lines = 0;
        self.skip_empty_lines();
        if self.input.is_some() {
            return true;
        }
        if core.closing.get() {
            return false;
        }
        if self.served {
            self.timer.set(clock::now() + core.frontend.timeout.http_keep_alive);
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
    fn abort(self) {
        drop(self.stream.set_zero_linger());
    }

    /// Says that nothing more will come, and listens until the client has seen it.
    async fn linger(mut self, core: &Core) {
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
