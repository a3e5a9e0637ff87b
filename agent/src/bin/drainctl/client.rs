//! Requests over the control socket or port; one connection each.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::Bytes;
use drain_agent::{
    clock::Moment,
    control::api::{Balancer, Diagnosis, Failure, Record, Reply, Status},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    time,
};

use crate::{remote::Remote, verdict::Fault};

/// How long the agent may take to answer: a little longer than it gives itself.
const ANSWER: Duration = Duration::from_secs(15);

/// The largest answer, and the largest line of a watch: some thousand balancers.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The way to one agent.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Its socket on this host.
    Socket(PathBuf),
    /// Its HTTPS port.
    Remote(Remote),
}

/// Asks one agent.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    way: Way,
}

/// A connection to it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    pub(crate) fn new(way: Way) -> Self {
        Self { way }
    }

    pub(crate) async fn status(&self) -> Result<Status, Fault> {
        let mut status: Status = self.whole(Method::GET, "/v1/status", Bytes::new()).await?;
        status.taken = Moment::now();
        Ok(status)
    }

    pub(crate) async fn balancers(&self) -> Result<Vec<Balancer>, Fault> {
        self.whole(Method::GET, "/v1/balancers", Bytes::new()).await
    }

    /// The last drains.
    pub(crate) async fn history(&self, last: u16) -> Result<Vec<Record>, Fault> {
        self.whole(Method::GET, &format!("/v1/history?last={last}"), Bytes::new()).await
    }

    /// One drain.
    pub(crate) async fn history_of(&self, drain: u64) -> Result<Record, Fault> {
        self.whole(Method::GET, &format!("/v1/history/{drain}"), Bytes::new()).await
    }

    /// What the agent's doctor finds.
    pub(crate) async fn doctor(&self) -> Result<Diagnosis, Fault> {
        self.whole(Method::GET, "/v1/doctor", Bytes::new()).await
    }

    /// Asks for something; a refusal is a fault.
    pub(crate) async fn ask<T: Serialize>(&self, path: &str, body: Option<&T>) -> Result<Reply, Fault> {
        let body =
            body.map(serde_json::to_vec).transpose().map_err(|error| Fault::Failed(error.to_string()))?;
        match self.whole(Method::POST, path, body.unwrap_or_default().into()).await? {
            Reply::Refused { name, text } => Err(Fault::Refused { name, text }),
            reply => Ok(reply),
        }
    }

    /// Follows the changes.
    pub(crate) async fn watch(&self) -> Result<Watch, Fault> {
        let response = self.send(Method::GET, "/v1/watch", Bytes::new()).await?;
        Ok(Watch { body: response.into_body(), bytes: Vec::new() })
    }

    /// A request with an answer that comes as a whole.
    async fn whole<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Fault> {
        let exchange = async {
            let response = self.send(method, path, body).await?;
            let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
            let body =
                body.map_err(|error| Fault::Failed(format!("the agent's answer broke off: {error}")))?;
            serde_json::from_slice(&body.to_bytes()).map_err(|error| not_understood(&error))
        };
        time::timeout(ANSWER, exchange).await.unwrap_or_else(|_late| Err(no_answer()))
    }

    /// A request whose answer is a success or a refusal.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Fault> {
        let stream = self.connect().await?;
        let failed = |error: hyper::Error| Fault::Failed(format!("the agent closed the connection: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Its error is also that of the request.
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path);
        let request = match &self.way {
            Way::Socket(_) => request.header(header::HOST, "drain-agent"),
            Way::Remote(remote) => request
                .header(header::HOST, remote.authority())
                .header(header::AUTHORIZATION, remote.authorization()),
        };
        let request = request.body(Full::new(body)).map_err(|error| Fault::Failed(error.to_string()))?;
        let response =
            time::timeout(ANSWER, sender.send_request(request)).await.map_err(|_late| no_answer())?;
        let response = response.map_err(failed)?;
        match response.status() {
            status if status.is_success() || status == StatusCode::CONFLICT => Ok(response),
            status => Err(failure(status, response).await),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Fault> {
        Ok(match &self.way {
            Way::Socket(socket) => {
                Box::new(UnixStream::connect(socket).await.map_err(|error| not_connected(socket, error))?)
            }
            Way::Remote(remote) => Box::new(remote.connect().await?),
        })
    }
}

fn not_connected(socket: &Path, source: io::Error) -> Fault {
    match source.kind() {
        io::ErrorKind::PermissionDenied => Fault::NotPermitted(format!(
            "{} may be used by root, the agent's own user and the group of control.group only",
            socket.display()
        )),
        _ => Fault::NoAgent { place: socket.display().to_string(), source },
    }
}

/// The changes of an agent's status.
pub(crate) struct Watch {
    body: Incoming,
    bytes: Vec<u8>,
}

impl Watch {
    /// The next status; `None` when the agent ends. Nothing is lost where this is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Result<Option<Status>, Fault> {
        loop {
            if let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                let mut status: Status =
                    serde_json::from_slice(&line).map_err(|error| not_understood(&error))?;
                status.taken = Moment::now();
                return Ok(Some(status));
            }
            if self.bytes.len() > ANSWER_BYTES {
                return Err(Fault::Failed(format!(
                    "the agent sent a line of more than {ANSWER_BYTES} bytes"
                )));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.bytes.extend(frame.into_data().unwrap_or_default()),
                // Broken off or ended: the agent is not there any more.
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }
}

async fn failure(status: StatusCode, response: Response<Incoming>) -> Fault {
    let body = Limited::new(response.into_body(), ANSWER_BYTES)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let text = match body.ok().and_then(|body| serde_json::from_slice::<Failure>(&body).ok()) {
        Some(failure) => failure.text,
        None => format!("the agent answered {status}"),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::NotPermitted(text),
        _ => Fault::Failed(text),
    }
}

fn no_answer() -> Fault {
    Fault::Failed(format!(
        "the agent is there, but did not answer in {} s; its log should say why",
        ANSWER.as_secs()
    ))
}

fn not_understood(error: &serde_json::Error) -> Fault {
    Fault::Failed(format!("the agent's answer is not understood ({error}); is it of drainctl's version?"))
}
