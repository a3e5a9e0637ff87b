//! What a client asks of the proxy itself: made elsewhere, with the form that came with the request.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use super::{Core, Pages, WantedPage, client::Client, pipe::Pipe};
use crate::{clock, rules::Reply};

/// A form at most: HAProxy's buffer.
const FORM_BYTES: usize = 16 * 1024;

/// Asks for a body that waits to be asked for (RFC 9110 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A page, and who makes it.
pub(super) struct Page {
    pub(super) pages: Arc<dyn Pages + Send + Sync>,
    pub(super) wanted: WantedPage,
}

impl Page {
    /// The answer; where the client does not send what it has announced, HAProxy's letters for that.
    pub(super) async fn made(
        mut self,
        core: &Core,
        client: &mut Client,
        up: &mut Pipe,
    ) -> Result<Reply, [u8; 2]> {
        if self.wanted.service.is_order() && self.wanted.form.is_ok() {
            self.wanted.form = if up.left().is_some_and(|left| left > FORM_BYTES as u64) {
                Err("EXCD")
            } else {
                Ok(form(core, client, up).await?)
            };
        }
        let made = self.pages.page(self.wanted).await;
        Ok(made.unwrap_or_else(|_| Reply::standard(503, *b"LR")))
    }
}

/// What follows the head; else the letters for its not coming.
async fn form(core: &Core, client: &mut Client, up: &mut Pipe) -> Result<Vec<u8>, [u8; 2]> {
    const GONE: [u8; 2] = *b"CR";
    const TIMED_OUT: [u8; 2] = *b"cR";
    client.timer.set(clock::now() + core.frontend.timeout.client);
    let mut unasked = if up.is_held_back() { CONTINUE } else { b"" };
    up.ask();
    poll_fn(|cx| {
        let mut whole = |cx: &mut Context<'_>| {
            while !unasked.is_empty() {
                match ready!(Pin::new(&mut client.stream).poll_write(cx, unasked)) {
                    Ok(count) => unasked = &unasked[count..],
                    Err(_) => return Poll::Ready(false),
                }
            }
            up.poll_whole(cx, &mut client.stream)
        };
        match whole(cx) {
            Poll::Ready(is_whole) => Poll::Ready(if is_whole { Ok(()) } else { Err(GONE) }),
            Poll::Pending => client.timer.poll_expired(cx).map(|()| Err(TIMED_OUT)),
        }
    })
    .await?;
    let message = up.output.rest();
    let head = message.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    Ok(message[head..].to_vec())
}
