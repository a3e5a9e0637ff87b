//! The port on which the numbers are asked for.

use std::{
    convert::Infallible,
    io,
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
use tracing::{debug, warn};

use super::{Counters, Form, page};
use crate::{clock::Moment, control::api::Status};

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
pub struct Error {
    address: SocketAddr,
    source: io::Error,
}

/// A port that listens.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
}

/// What the page is made of.
#[derive(Clone, Debug)]
struct Numbers {
    counters: Counters,
    status: watch::Receiver<Arc<Status>>,
    started_unix: u64,
}

impl Port {
    /// Listens on `address`. Must be called inside the runtime.
    pub fn open(address: SocketAddr) -> Result<Self, Error> {
        let open = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        open().map(|listener| Self { listener }).map_err(|source| Error { address, source })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn run(self, counters: Counters, status: watch::Receiver<Arc<Status>>, started_unix: u64) {
        let numbers = Numbers { counters, status, started_unix };
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, numbers.clone(), slot));
                }
                Err(error) => {
                    warn!(%error, "a connection for metrics could not be accepted");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// One request on one connection.
async fn serve(stream: TcpStream, numbers: Numbers, slot: OwnedSemaphorePermit) {
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
