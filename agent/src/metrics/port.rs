//! The port on which the numbers are asked for.

use std::{
    convert::Infallible,
    future, io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use super::{Counters, Form, page};
use crate::{
    clock::Moment,
    config::Config,
    control::api::Status,
    faults::{Faults, Part},
    ports::Ports,
};

/// How many connections are served at once; others wait in the kernel. A handful of Prometheis, and somebody's curl.
const CONNECTIONS: usize = 8;

/// How long a connection may take from its begin to its end.
const WHOLE: Duration = Duration::from_secs(10);

/// How long the head of a request may take to come.
const HEAD: Duration = Duration::from_secs(5);

/// The largest head, of which hyper keeps a buffer: 8 KiB is the least that it takes.
const HEAD_BYTES: usize = 8 * 1024;

/// How long to wait when no connection can be accepted, so as not to burn the processor.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The port can't be had.
#[derive(Debug, Error)]
#[error("can't listen on {address} for metrics: {source}")]
struct Error {
    address: SocketAddr,
    source: io::Error,
}

/// The port, open or not.
#[derive(Debug)]
pub struct Port {
    open: Option<Open>,
    /// Where it may listen.
    ports: Ports,
    faults: Faults,
}

/// A port that listens.
#[derive(Debug)]
struct Open {
    listener: TcpListener,
    /// Where it is told to.
    configured: SocketAddr,
}

/// What the page is made of.
#[derive(Clone, Debug)]
struct Numbers {
    counters: Counters,
    status: watch::Receiver<Arc<Status>>,
    started_unix: u64,
}

impl Port {
    /// Listens on `address`, if there is one, and later on others among `ports`; where one can't be had, `faults` learns
    /// why. Must be called inside the runtime.
    pub fn open(address: Option<SocketAddr>, ports: Ports, faults: &Faults) -> Self {
        let mut port = Self { open: None, ports, faults: faults.clone() };
        port.move_to(address);
        port
    }

    /// Where it listens; `None` while it is closed.
    pub fn address(&self) -> Option<SocketAddr> {
        self.open.as_ref()?.listener.local_addr().ok()
    }

    /// Answers until it is dropped, where `config` says so at the time.
    pub async fn run(
        mut self,
        mut config: watch::Receiver<Arc<Config>>,
        counters: Counters,
        status: watch::Receiver<Arc<Status>>,
        started_unix: u64,
    ) {
        let numbers = Numbers { counters, status, started_unix };
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            tokio::select! {
                Ok(()) = config.changed() => {
                    let address = config.borrow_and_update().metrics.listen;
                    self.move_to(address);
                }
                (slot, accepted) = next(self.open.as_ref(), &slots) => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(serve(stream, numbers.clone(), slot));
                    }
                    Err(error) => {
                        warn!(%error, "a connection for metrics could not be accepted");
                        sleep(BACK_OFF).await;
                    }
                },
            }
        }
    }

    /// Listens there and nowhere else. Where that can't be had, it stays where it is.
    fn move_to(&mut self, address: Option<SocketAddr>) {
        let Some(address) = address else {
            if self.open.take().is_some() {
                info!("metrics are told no more");
            }
            return self.faults.mended(Part::Metrics);
        };
        if self.open.as_ref().is_some_and(|open| open.configured == address) {
            return self.faults.mended(Part::Metrics);
        }
        let before = self.open.as_ref().map(|open| open.configured);
        // One's own listener on the same port would be in the way of the new one.
        self.open.take_if(|open| open.configured.port() == address.port());
        match Open::at(address) {
            Ok(open) => {
                self.open = Some(open);
                self.faults.mended(Part::Metrics);
            }
            Err(error) => {
                if self.open.is_none() {
                    self.open = before.and_then(|before| Open::at(before).ok());
                }
                let cure = if self.ports.refuse(address.port()) {
                    "the kernel lets this agent open no ports but those of the configuration that it was started with: \
                     restart the agent"
                } else {
                    "free it or name another as metrics.listen, and reload the agent"
                };
                self.faults.found(Part::Metrics, &format!("{error}; {cure}"));
            }
        }
    }
}

impl Open {
    fn at(configured: SocketAddr) -> Result<Self, Error> {
        let open = || {
            let listener = StdListener::bind(configured)?;
            listener.set_nonblocking(true)?;
            let at = listener.local_addr()?;
            Ok((TcpListener::from_std(listener)?, at))
        };
        let (listener, at) = open().map_err(|source| Error { address: configured, source })?;
        info!("answers at http://{at}/metrics");
        Ok(Self { listener, configured })
    }
}

/// The next connection, and a place for it; a port that is closed has none.
async fn next(
    open: Option<&Open>,
    slots: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<(TcpStream, SocketAddr)>) {
    let Some(open) = open else { return future::pending().await };
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    (slot, open.listener.accept().await)
}

/// One request on one connection.
async fn serve(stream: TcpStream, numbers: Numbers, slot: Option<OwnedSemaphorePermit>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = numbers.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(WHOLE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            debug!(error = &error as &dyn std::error::Error, "a connection for metrics ended early");
        }
        Err(_late) => debug!("a connection for metrics took too long"),
    }
    drop(slot);
}

impl Numbers {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let refusal = |status, text: &'static str| {
            let mut response = Response::new(Full::from(text));
            *response.status_mut() = status;
            response
        };
        if request.uri().path() != "/metrics" {
            return refusal(StatusCode::NOT_FOUND, "the numbers are at /metrics\n");
        }
        if request.method() != Method::GET {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n");
        }
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let form = Form::asked(accept.unwrap_or_default());
        let now = Moment::now();
        let status = self.status.borrow().seen_at(now);
        let text = page(&self.counters, &status, self.started_unix, now, form);
        let mut response = Response::new(Full::from(text));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(form.content_type()));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address that is taken as long as the listener lives.
    fn taken() -> (StdListener, SocketAddr) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn an_address_that_cant_be_had_is_a_fault_until_it_can() {
        let faults = Faults::default();
        let text = || faults.watch().borrow().get(&Part::Metrics).cloned().unwrap_or_default();
        let (listener, address) = taken();
        let mut port = Port::open(Some(address), Ports::Any, &faults);
        assert_eq!(port.address(), None);
        assert!(text().contains(&address.to_string()) && text().contains("metrics.listen"), "{}", text());
        drop(listener);
        port.move_to(Some(address));
        assert_eq!((port.address(), text()), (Some(address), String::new()));
        let (_listener, other) = taken();
        port.move_to(Some(other));
        assert_eq!(port.address(), Some(address), "it stays where it is");
        assert!(text().contains(&other.to_string()), "{}", text());
        let everywhere = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        port.move_to(Some(everywhere));
        assert_eq!((port.address(), text()), (Some(everywhere), String::new()), "the same port elsewhere");
        port.move_to(None);
        assert_eq!((port.address(), text()), (None, String::new()));
    }
}
