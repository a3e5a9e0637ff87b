//! The HTTPS port: the same as the socket, for tools on other hosts that have a token.
//!
//! ```text
//! connection ──► TLS ──► head ──► token ──► routes
//!      │ too many: waits in the kernel    │ none or a wrong one: 401
//!      └─ HANDSHAKE, then HEAD: who says nothing goes
//! ```
//!
//! The certificate, the key and the tokens are read again when the configuration is; where they can't be used, the old
//! ones hold. An agent that begins with such as can't be used, or with an address that can't be had, is there for the
//! balancers all the same: the port is closed, and opened when the configuration is read again and they can.

use std::{
    future, io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::{
    Owner,
    api::Failure,
    peer::{Access, Peer, Who},
    routes,
    server::{self, BACK_OFF},
    tls,
    tokens::{Holder, TokenError, Tokens},
};
use crate::{
    clock::Moment,
    config::{Config, Remote},
    faults::{Faults, Part},
    metrics::Counters,
};

/// How many connections are served at once; others wait in the kernel. Each has some 40 KiB of TLS' buffers at most,
/// and the whole agent 8 MB. Tools ask and go; half of them may stay and watch.
const CONNECTIONS: usize = 16;

/// How long the TLS handshake may take: two round trips and a signature.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long the head of a request may take to come after it.
const HEAD: Duration = Duration::from_secs(5);

/// After so long of silence the other host is asked whether it is there, and after as long without an answer it is
/// gone: a watch that nobody reads must not keep its place for the kernel's two hours.
const ALIVE: Duration = Duration::from_secs(30);

/// So often is it logged at most that somebody was refused: who tries tokens must not fill the disk as well.
const TOLD: Duration = Duration::from_secs(10);

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The address can't be had.
    #[error("can't listen on {address} for control.listen: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What was said.
        source: io::Error,
    },
    /// A certificate, a key or an authority can't be used.
    #[error("control.tls: {0}")]
    Tls(#[from] tls::Error),
    /// There are no tokens.
    #[error("control.token_file: {0}")]
    Tokens(#[from] TokenError),
}

/// The port, open or not.
pub struct Port {
    open: Option<Open>,
    /// Where it is told why it is closed, or why its old files hold.
    faults: Faults,
}

/// A port that listens.
struct Open {
    listener: TcpListener,
    door: Door,
}

/// Who is let in.
#[derive(Clone)]
struct Door {
    tls: TlsAcceptor,
    /// When the certificates by which it goes end, in seconds since 1970, as far as that is known.
    ends: [(&'static str, Option<i64>); 2],
    tokens: Arc<Tokens>,
    refused: Arc<Mutex<Refused>>,
}

/// Who was not, since it was last told.
#[derive(Debug, Default)]
struct Refused {
    told: Option<Moment>,
    untold: u64,
}

impl Port {
    /// Listens as `remote` says, where its files can be used and its address can be had; else `faults` learns why not.
    /// Must be called inside the runtime.
    pub fn open(remote: &Remote, faults: &Faults) -> Self {
        let mut port = Self { open: None, faults: faults.clone() };
        port.renew(remote);
        port
    }

    /// Where it listens; `None` while it is closed.
    pub fn address(&self) -> Option<SocketAddr> {
        self.open.as_ref()?.listener.local_addr().ok()
    }

    /// Serves until it is dropped. Where `config` changes, its files are read again; `counters` learns when its
    /// certificates end.
    pub async fn run(mut self, owner: Owner, mut config: watch::Receiver<Arc<Config>>, counters: Counters) {
        // Of processes of this host none comes this way.
        let access = watch::channel(Access { uid: 0, drain: Who::Nobody, look: Who::Nobody }).1;
        let router = routes::router(owner, access, CONNECTIONS / 2);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        counters.certificates(self.ends());
        loop {
            tokio::select! {
                Ok(()) = config.changed() => {
                    let config = Arc::clone(&config.borrow_and_update());
                    match &config.control.remote {
                        Some(remote) => self.renew(remote),
                        None => self.faults.mended(Part::ControlPort),
                    }
                    counters.certificates(self.ends());
                }
                (open, slot, accepted) = next(self.open.as_ref(), &slots) => match accepted {
                    Ok((stream, from)) => {
                        let (from, door) = (from.ip().to_canonical(), open.door.clone());
                        tokio::spawn(serve(stream, from, door, router.clone(), slot));
                    }
                    Err(error) => {
                        warn!(%error, "a connection to the control port could not be accepted");
                        sleep(BACK_OFF).await;
                    }
                },
            }
        }
    }

    /// Reads the files, and opens the port where it is closed. One that is configured no more, or elsewhere, holds until
    /// the agent's next start.
    fn renew(&mut self, remote: &Remote) {
        match &mut self.open {
            Some(open) => match Door::of(remote) {
                Ok(new) => {
                    open.door = Door { refused: Arc::clone(&open.door.refused), ..new };
                    info!("the control port's certificate and tokens are read again");
                    self.faults.mended(Part::ControlPort);
                }
                Err(error) => self.lacks("goes on with its old certificate and tokens", &error),
            },
            None => match Open::at(remote) {
                Ok(open) => {
                    self.open = Some(open);
                    self.faults.mended(Part::ControlPort);
                }
                Err(error) => self.lacks("is closed", &error),
            },
        }
    }

    fn ends(&self) -> impl Iterator<Item = (&'static str, Option<i64>)> + use<> {
        self.open.as_ref().map(|open| open.door.ends).into_iter().flatten()
    }

    fn lacks(&self, what: &str, error: &PortError) {
        let text = format!(
            "the control port {what}: {error}; mend it, and reload the agent; another address takes its restart"
        );
        self.faults.found(Part::ControlPort, &text);
    }
}

impl Open {
    fn at(remote: &Remote) -> Result<Self, PortError> {
        let door = Door::of(remote)?;
        let address = remote.listen;
        let open = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let at = listener.local_addr()?;
            Ok((TcpListener::from_std(listener)?, at))
        };
        let (listener, at) = open().map_err(|source| PortError::Bind { address, source })?;
        info!("takes orders at https://{at} from who has a token");
        Ok(Self { listener, door })
    }
}

/// The next connection, and a place for it; a port that is closed has none.
async fn next<'a>(
    open: Option<&'a Open>,
    slots: &Arc<Semaphore>,
) -> (&'a Open, Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
    let Some(open) = open else { return future::pending().await };
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    (open, slot, open.listener.accept().await)
}

/// One request on one connection.
async fn serve(
    stream: TcpStream,
    from: IpAddr,
    door: Door,
    router: Router,
    slot: Option<OwnedSemaphorePermit>,
) {
    if let Err(error) = attend(&stream) {
        debug!(%error, "a control connection can't be watched over");
    }
    let stream = match timeout(HANDSHAKE, door.tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%from, %error, "a control connection got no TLS"),
        Err(_late) => return debug!(%from, "a control connection got no TLS within {HANDSHAKE:?}"),
    };
    let router = router.layer(from_fn_with_state((door, from), admit));
    server::serve(stream, HEAD, router, slot).await;
}

/// Small answers go at once, and a host that has gone away is noticed.
fn attend(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(ALIVE).with_interval(ALIVE / 3).with_retries(3))?;
    socket.set_tcp_user_timeout(Some(ALIVE))
}

/// Lets those through who have a token, and says who they are.
async fn admit(
    State((door, from)): State<(Door, IpAddr)>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let Some(holder) = door.tokens.of(request.headers()).cloned() else {
        door.refuse(from, Moment::now());
        return refusal();
    };
    debug!(token = &*holder.name, %from, "{} {}", request.method(), request.uri().path());
    request.extensions_mut().insert(Peer::Remote { holder, from });
    next.run(request).await
}

fn refusal() -> Response {
    let text = "expected `Authorization: Bearer TOKEN` with a token of the agent's control.token_file, found none or \
                another one";
    let failure = Failure { failure: "not_permitted".to_owned(), text: text.to_owned() };
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], Json(failure)).into_response()
}

impl Tokens {
    /// Whose token a request shows.
    fn of(&self, headers: &HeaderMap) -> Option<&Holder> {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.holder(token.trim())
    }
}

impl Door {
    fn of(remote: &Remote) -> Result<Self, PortError> {
        let tls = TlsAcceptor::from(tls::server(&remote.tls)?);
        let end = |part, path: &Path| tls::validity(part, path).ok().map(|validity| validity.until_unix);
        let ends = [
            ("server", end(tls::Part::Certificate, &remote.tls.cert)),
            ("client_ca", remote.tls.client_ca.as_deref().and_then(|path| end(tls::Part::Authorities, path))),
        ];
        let tokens = Arc::new(Tokens::read(&remote.token_file)?);
        Ok(Self { tls, ends, tokens, refused: Arc::default() })
    }

    /// Tells the log of a request that was refused, now or with a later one.
    fn refuse(&self, from: IpAddr, now: Moment) {
        // What was counted stays right wherever a thread has died.
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.untold += 1;
        if refused.told.is_some_and(|told| now.since(told) < TOLD) {
            return;
        }
        warn!(%from, count = refused.untold, "refused on the control port: no token, or a wrong one");
        *refused = Refused { told: Some(now), untold: 0 };
    }
}
