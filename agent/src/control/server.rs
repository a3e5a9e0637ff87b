//! The listening side: connections, their number and their time.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time,
};
use tracing::{debug, warn};

use super::{
    Error, Owner,
    peer::{Access, Peer},
    routes,
    socket::{self, SocketFile},
};

/// How many connections are served at once; others wait in the kernel. People and scripts, and some watchers.
pub(super) const CONNECTIONS: usize = 32;

/// How long the head of a request may take to come: the other side is on the same host.
const HEAD: Duration = Duration::from_secs(2);

/// The largest head, of which hyper keeps a buffer for each connection: 8 KiB is the least that it takes.
const HEAD_BYTES: usize = 8 * 1024;

/// How long to wait when no connection can be accepted (no descriptors), so as not to burn the processor.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A control socket that listens. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    access: Access,
    _file: SocketFile,
}

impl Server {
    /// Makes the socket at `path`; members of `group` (a name or a number) may drain. Must be called inside the runtime.
    pub fn open(path: &Path, group: Option<&str>) -> Result<Self, Error> {
        let group = group.map(socket::group_id).transpose()?;
        let (listener, file) = SocketFile::create(path, group)?;
        let adopt = || {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener = adopt().map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let uid = rustix::process::geteuid().as_raw();
        Ok(Self { listener, access: Access { uid, group }, _file: file })
    }

    /// Serves until it is dropped.
    pub async fn run(self, owner: Owner) {
        let router = routes::router(owner, self.access);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match self.listener.accept().await.and_then(|(stream, _)| Ok((Peer::of(&stream)?, stream))) {
                Ok((peer, stream)) => {
                    tokio::spawn(serve(stream, peer, router.clone(), slot));
                }
                Err(error) => {
                    warn!(%error, "a connection to the control socket could not be accepted");
                    time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Ends a connection whose other side does not read.
#[derive(Clone, Debug, Default)]
pub(super) struct HangUp(Arc<Notify>);

impl HangUp {
    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}

/// One request on one connection.
async fn serve(stream: UnixStream, peer: Peer, router: Router, slot: OwnedSemaphorePermit) {
    let hang_up = HangUp::default();
    let router = router.layer(Extension(peer)).layer(Extension(hang_up.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let done: Result<(), hyper::Error> = tokio::select! {
        done = connection => done,
        () = hang_up.0.notified() => Ok(()),
    };
    if let Err(error) = done {
        debug!(error = &error as &dyn std::error::Error, "a connection to the control socket ended early");
    }
    drop(slot);
}
