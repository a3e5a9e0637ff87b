//! The listening side: connections, their number and their time.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
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
use crate::config;

/// How many connections are served at once; others wait in the kernel. People and scripts, and some watchers.
const CONNECTIONS: usize = 32;

/// How long the head of a request may take to come: the other side is on the same host.
const HEAD: Duration = Duration::from_secs(2);

/// The largest head, of which hyper keeps a buffer for each connection: 8 KiB is the least that it takes.
const HEAD_BYTES: usize = 8 * 1024;

/// How long a request and its answer may take from the connection on, but for who watches: the owner has 10 s for an
/// answer, the body 5 s, and the rest is for reading it. Nobody holds a connection for ever by not reading.
const WHOLE: Duration = Duration::from_secs(30);

/// How long to wait when no connection can be accepted (no descriptors), so as not to burn the processor.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);

/// A control socket that listens. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    access: Access,
    _file: SocketFile,
}

impl Server {
    /// Makes the socket that `control` describes. Must be called inside the runtime.
    pub fn open(control: &config::Control) -> Result<Self, Error> {
        let number = |group: &Option<Arc<str>>| group.as_deref().map(socket::group_id).transpose();
        let (path, group, look) = (&control.socket, number(&control.group)?, number(&control.look)?);
        let (listener, file) = SocketFile::create(path, group)?;
        let adopt = || {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener = adopt().map_err(|source| Error::Io { path: path.clone(), source })?;
        let uid = rustix::process::geteuid().as_raw();
        Ok(Self { listener, access: Access { uid, group, look }, _file: file })
    }

    /// Serves until it is dropped.
    pub async fn run(self, owner: Owner) {
        let router = routes::router(owner, self.access, CONNECTIONS / 2);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match self.listener.accept().await.and_then(|(stream, _)| Ok((Peer::of(&stream)?, stream))) {
                Ok((peer, stream)) => {
                    let router = router.clone().layer(Extension(peer));
                    tokio::spawn(serve(stream, HEAD, router, Some(slot)));
                }
                Err(error) => {
                    warn!(%error, "a connection to the control socket could not be accepted");
                    time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// What the answer to a request tells of its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Tie(Arc<(Notify, AtomicBool)>);

impl Tie {
    /// The connection ends now: its other side does not read.
    pub(super) fn cut(&self) {
        self.0.0.notify_one();
    }

    /// The answer goes on for as long as somebody reads it.
    pub(super) fn stays(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }

    /// When the connection is to end, whatever comes of it.
    async fn ends(&self) {
        let late = async {
            time::sleep(WHOLE).await;
            if self.0.1.load(Ordering::Relaxed) {
                future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.0.0.notified() => {}
            () = late => {}
        }
    }
}

/// One request on one connection, whose head must have come within `head`; `slot` is its place.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    head: Duration,
    router: Router,
    slot: Option<OwnedSemaphorePermit>,
) {
    let tie = Tie::default();
    let router = router.layer(Extension(tie.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let done: Result<(), hyper::Error> = tokio::select! {
        done = connection => done,
        () = tie.ends() => Ok(()),
    };
    if let Err(error) = done {
        debug!(error = &error as &dyn std::error::Error, "a control connection ended early");
    }
    drop(slot);
}
