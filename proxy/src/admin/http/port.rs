//! The listening side: connections, their number and their time.

use std::{io, net::TcpListener as StdListener, sync::Arc, thread, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::sleep,
};

use super::{
    CONNECTIONS, HEAD, HEAD_BYTES, STALLED, Subject,
    auth::{Guests, PasswordError},
    routes,
};
use crate::{
    config::AdminPort,
    listen::{self, ListenError},
};

/// How long to wait when no connection can be accepted (no descriptors), so as not to burn the processor.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Why there is no admin port.
#[derive(Debug, Error)]
pub enum PortError {
    /// It can't be listened on.
    #[error("admin.listen: {}", .0.with_source())]
    Listen(#[from] ListenError),
    /// Nobody could be let in.
    #[error("admin.auth: {0}")]
    Password(#[from] PasswordError),
    /// There is no thread for it.
    #[error("can't start the admin port: {0}")]
    Thread(#[source] io::Error),
}

/// A port that is listened on, and not yet answered.
pub struct Opened {
    settings: AdminPort,
    listener: StdListener,
    guests: Guests,
}

/// A port that is answered until this is dropped.
#[derive(Debug)]
pub struct Port {
    settings: AdminPort,
    guests: Guests,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Opened {
    /// Listens. `beside`: an earlier process, or this one, may listen there and is about to go.
    pub fn open(settings: &AdminPort, beside: bool) -> Result<Self, PortError> {
        let guests = Guests::of(&settings.auth)?;
        let listener = listen::single(settings.listen, beside)?;
        Ok(Self { settings: settings.clone(), listener, guests })
    }

    /// Answers on a thread of its own.
    pub fn serve(self, subject: Subject) -> Result<Port, PortError> {
        let Self { settings, listener, guests } = self;
        let (router, observer) = routes::router(&settings, guests.clone(), subject);
        let (stop, stopped) = oneshot::channel();
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let guard = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            drop(guard);
            tracing::info!("people and monitoring are answered on http://{address}/");
            let answer = async move {
                tokio::select! {
                    () = accept(listener, router) => {}
                    () = observer.watch() => {}
                    // Nothing is ever sent: it ends when the port is dropped.
                    _ = stopped => {}
                }
            };
            thread::Builder::new()
                .name("admin port".to_owned())
                .spawn(move || runtime.block_on(answer))
                .map(drop)
        };
        work().map_err(PortError::Thread)?;
        Ok(Port { settings, guests, _stop: stop })
    }
}

impl Port {
    /// Whether it is there by this configuration, and by the passwords that are in its files now.
    pub fn is_by(&self, settings: &AdminPort) -> Result<bool, PasswordError> {
        Ok(self.settings == *settings && self.guests == Guests::of(&settings.auth)?)
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, router.clone(), slot));
            }
            Err(error) => {
                tracing::warn!("a connection to the admin port could not be accepted: {error}");
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// One request on one connection.
async fn serve(stream: TcpStream, router: Router, slot: OwnedSemaphorePermit) {
    let socket = SockRef::from(&stream);
    // Without them it is only slower, or held longer.
    let _ = socket.set_tcp_user_timeout(Some(STALLED));
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!("a connection to the admin port ended early: {error}");
    }
    drop(slot);
}
