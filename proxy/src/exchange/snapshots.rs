//! Messages that are no HTTP are kept, one of each kind of each proxy, for whoever looks for the reason.

use std::net::SocketAddr;

use super::{
    Core,
    client::Client,
    relay::{End, Remains},
};
use crate::{
    backend::Server,
    clock,
    http1::{BadResponse, Refusal, fault},
    snapshot::Snapshot,
};

impl Core {
    /// Keeps a request that begins `bytes`.
    pub(super) fn keep_bad_request(&self, client: &Client, bytes: &[u8], refusal: Refusal) {
        let fault = fault::of_request(bytes, refusal);
        self.open.last_bad.keep(self.snapshot(None, client.address, bytes, fault));
    }

    /// Keeps a response, if it is one that was no HTTP.
    pub(super) fn keep_bad_response(&self, client: &Client, server: &Server, remains: &Remains) {
        let (End::BadHead(bad), Some(input)) = (remains.end, &remains.down.input) else { return };
        if bad == BadResponse::Denied {
            return;
        }
        let bytes = input.filled();
        let fault = fault::of_response(bytes, bad);
        self.backend.last_bad().keep(self.snapshot(Some(server), client.address, bytes, fault));
    }

    fn snapshot(&self, server: Option<&Server>, client: SocketAddr, bytes: &[u8], fault: usize) -> Snapshot {
        Snapshot {
            at: clock::wall(),
            frontend: self.frontend.name.clone(),
            server: server.map(|server| (self.backend.name().into(), server.name().into(), server.index())),
            client,
            bytes: bytes.into(),
            room: self.head_bytes.max(bytes.len()),
            fault,
        }
    }
}
