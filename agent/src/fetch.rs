//! One GET on a connection of its own, for the readiness probe and the gauges.
//!
//! It is entered as the agent's own, so that it is no traffic.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use hyper::http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use reqwest::{Client, Response, Url, header, redirect::Policy};
use thiserror::Error;
use tower_layer::Layer;
use tower_service::Service;

use crate::traffic::sockets::{Entry, Own};

/// What the agent calls itself where it asks.
pub const USER_AGENT: &str = "drain-agent";

/// Asks one URL, one request at a time.
#[derive(Debug)]
pub struct Fetch {
    client: Client,
    url: Url,
    entries: Entries,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body, up to what was wanted of it.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No connection; what the system said.
    #[error("no connection: {0}")]
    Unconnected(io::Error),
    /// The answer broke off, or was no HTTP.
    #[error("the answer is broken: {0}")]
    Broken(String),
}

/// The HTTP client could not be made.
#[derive(Debug, Error)]
#[error("the HTTP client for {url} could not be made: {error}")]
pub struct ClientError {
    url: Url,
    error: reqwest::Error,
}

impl Fetch {
    /// Asks `url`, at the unix socket `unix` where one is given; its connections are entered in `own`.
    pub fn new(url: Url, unix: Option<&Path>, own: &Own) -> Result<Self, ClientError> {
        let entries = Entries::default();
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .http1_only()
            .pool_max_idle_per_host(0)
            .user_agent(USER_AGENT)
            // A request has its own, short limit and is sent once: these would only cost system calls.
            .tcp_keepalive(None)
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None)
            .tcp_user_timeout(None)
            .connector_layer(Entering { own: own.clone(), entries: entries.clone() });
        let client = match unix {
            Some(path) => client.unix_socket(path),
            None => client,
        };
        match client.build() {
            Ok(client) => Ok(Self { client, url, entries }),
            Err(error) => Err(ClientError { url, error }),
        }
    }

    /// Asks once, and reads the body up to `limit` bytes. How long it may take is the caller's business.
    pub async fn get(&self, limit: usize) -> Result<Answer, FetchError> {
        let _clear = Clear(&self.entries);
        let request = self.client.get(self.url.clone()).header(header::CONNECTION, "close");
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let body = read(&mut response, limit).await.map_err(|error| failed(&error))?;
        Ok(Answer { status, body })
    }

    /// `host:port`.
    pub fn at(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.url.port_or_known_default().unwrap_or_default())
    }
}

fn failed(error: &reqwest::Error) -> FetchError {
    if error.is_connect() {
        return FetchError::Unconnected(system_error(error));
    }
    FetchError::Broken(root(error).to_string())
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

/// The connections of the present request.
#[derive(Clone, Debug, Default)]
struct Entries(Arc<Mutex<Vec<Entry>>>);

impl Entries {
    fn list(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Each change is one call, so the list is whole even if a thread has died.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clears the entries at the end of a request, also of one that is dropped in the middle.
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
