//! The HTTP probe: one GET on a connection of its own.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use hyper::http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use reqwest::{Client, Response, Url, header, redirect::Policy};
use tower_layer::Layer;
use tower_service::Service;

use super::{ClientError, ProbeError};
use crate::{
    config::StatusSet,
    traffic::sockets::{Entry, Own},
};

/// How much of an answer's body is read. A health page is smaller; a probe must not become a download.
const BODY_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    url: Url,
    status: StatusSet,
    body: Option<Arc<str>>,
    entries: Entries,
}

impl Http {
    pub(super) fn new(
        url: Url,
        status: StatusSet,
        body: Option<Arc<str>>,
        own: &Own,
    ) -> Result<Self, ClientError> {
        let entries = Entries::default();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .http1_only()
            .pool_max_idle_per_host(0)
            .user_agent("drain-agent")
            // A probe has its own, short limit and sends once: these would only cost system calls.
            .tcp_keepalive(None)
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None)
            .tcp_user_timeout(None)
            .connector_layer(Entering { own: own.clone(), entries: entries.clone() })
            .build()?;
        Ok(Self { client, url, status, body, entries })
    }

    /// One probe at a time; how long it may take is the caller's business.
    pub(super) async fn probe(&self) -> Result<(), ProbeError> {
        let _clear = Clear(&self.entries);
        let request = self.client.get(self.url.clone()).header(header::CONNECTION, "close");
        let mut response = request.send().await.map_err(|e| self.failed(&e))?;
        let found = response.status().as_u16();
        let body = read(&mut response, BODY_MAX).await.map_err(|e| self.failed(&e))?;
        if !self.status.contains(found) {
            return Err(ProbeError::Status { expected: self.status.to_string(), found });
        }
        match &self.body {
            Some(expected) if !contains(&body, expected.as_bytes()) => {
                Err(ProbeError::Body { expected: expected.to_string(), searched: body.len() })
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &reqwest::Error) -> ProbeError {
        if error.is_connect() {
            return ProbeError::unconnected(self.at(), system_error(error));
        }
        ProbeError::Broken(root(error).to_string())
    }

    /// `host:port`.
    fn at(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.url.port_or_known_default().unwrap_or_default())
    }
}

/// The body up to `limit`, to its end or to the point where it was enough.
async fn read(response: &mut Response, limit: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == limit {
            break;
        }
    }
    Ok(body)
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

/// What the system said at the bottom of a failed connection.
fn system_error(error: &reqwest::Error) -> io::Error {
    let root = root(error);
    root.downcast_ref::<io::Error>().map_or_else(
        || io::Error::other(root.to_string()),
        |error| {
            error
                .raw_os_error()
                .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
        },
    )
}

/// The first cause.
fn root(error: &reqwest::Error) -> &(dyn std::error::Error + 'static) {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// The connections of the present probe.
#[derive(Clone, Debug, Default)]
struct Entries(Arc<Mutex<Vec<Entry>>>);

impl Entries {
    fn list(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Each change is one call, so the list is whole even if a thread has died.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clears the entries at the end of a probe, also of one that is dropped in the middle.
struct Clear<'a>(&'a Entries);

impl Drop for Clear<'_> {
    fn drop(&mut self) {
        self.0.list().clear();
    }
}

/// Enters each new connection of the client before the first byte is sent on it: reqwest tells the local
/// address of a connection nowhere else.
#[derive(Clone)]
struct Entering {
    own: Own,
    entries: Entries,
}

impl<S> Layer<S> for Entering {
    type Service = EnteringConnector<S>;

    fn layer(&self, connector: S) -> Self::Service {
        EnteringConnector { connector, entering: self.clone() }
    }
}

#[derive(Clone)]
struct EnteringConnector<S> {
    connector: S,
    entering: Entering,
}

impl<S, R> Service<R> for EnteringConnector<S>
where
    S: Service<R>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let connecting = self.connector.call(target);
        let Entering { own, entries } = self.entering.clone();
        Box::pin(async move {
            let connection = connecting.await?;
            let mut extras = Extensions::new();
            connection.connected().get_extras(&mut extras);
            if let Some(info) = extras.get::<HttpInfo>() {
                entries.list().push(own.enter(info.local_addr(), info.remote_addr()));
            }
            Ok(connection)
        })
    }
}
