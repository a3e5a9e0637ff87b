//! A connection after the protocol has changed: bytes both ways.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, net::TcpStream};

use super::{super::pipe::Broken, End, Relay, Request};

impl Relay<'_> {
    pub(super) fn open_tunnel(&mut self) {
        self.up.open();
        self.down.open();
        self.request = Request::Sending;
    }

    /// Both directions until both have ended; the end of one is passed on at once.
    pub(super) fn poll_tunnel(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> Poll<End> {
        if self.request == Request::Sending {
            match self.up.poll_transfer(cx, client, server) {
                Poll::Ready(Ok(())) => {
                    drop(Pin::new(&mut *server).poll_shutdown(cx));
                    self.request = Request::Sent;
                }
                Poll::Ready(Err(Broken::Source)) => return Poll::Ready(End::ClientGone),
                Poll::Ready(Err(_)) => return Poll::Ready(End::BodyCutOff),
                Poll::Pending => {}
            }
        }
        if !self.down.is_read() || self.down.is_pending() {
            match ready!(self.down.poll_transfer(cx, server, client)) {
                Ok(()) => drop(Pin::new(&mut *client).poll_shutdown(cx)),
                Err(Broken::Sink) => return Poll::Ready(End::ClientGone),
                Err(_) => return Poll::Ready(End::BodyCutOff),
            }
        }
        if self.request == Request::Sent { Poll::Ready(End::Complete) } else { Poll::Pending }
    }
}
