//! Paths and what they do; the table is in [`api`].

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, State, rejection::PathRejection},
    http::{Request, StatusCode, Uri},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{
    BodyExt,
    channel::{Channel, Sender},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time,
};

use super::{
    Ask, Owner,
    api::{Balancer, Diagnosis, Failure, Options, Record, Reply, Status, Then, Up},
    peer::{Access, Peer, Who},
    server::Tie,
};
use crate::{clock::Moment, lifecycle, report::Unreadable};

/// The largest body: a reason is a line, not a book.
const BODY_BYTES: usize = 16 * 1024;

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(5);

/// How long the owner may take to answer: it may have to write the state file first, on a slow disk.
const ANSWER: Duration = Duration::from_secs(10);

/// A look at the traffic that is older is made anew for who asks for the status: people type slower.
const FRESH: Duration = Duration::from_secs(1);

/// How long a status waits for that look: with 100,000 connections it takes 200 ms.
const LOOK: Duration = Duration::from_millis(300);

/// How long a watcher may leave a line unread before it is taken for gone.
const UNREAD: Duration = Duration::from_secs(30);

/// How many drains are told of at once: more than anybody reads, and less than a megabyte.
const DRAINS: usize = 500;

#[derive(Clone)]
struct Control {
    owner: Owner,
    access: watch::Receiver<Access>,
    watches: Arc<Semaphore>,
    most_watches: usize,
}

/// What those see who may do what `access` says at the time. At most `watches` watch at once: they stay, and the
/// connections beyond them are for those who ask and go.
pub(super) fn router(owner: Owner, access: watch::Receiver<Access>, watches: usize) -> Router {
    let control =
        Control { owner, access, watches: Arc::new(Semaphore::new(watches)), most_watches: watches };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/watch", get(watch))
        .route("/v1/balancers", get(balancers))
        .route("/v1/history", get(history))
        .route("/v1/history/{drain}", get(history_of))
        .route_layer(from_fn_with_state(control.clone(), who_may_look))
        .route("/v1/doctor", get(doctor))
        .route("/v1/soft", post(soft))
        .route("/v1/hard", post(hard))
        .route("/v1/restart", post(restart))
        .route("/v1/up", post(up))
        .route("/v1/return", post(come_back))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .with_state(control)
}

/// Lets those through who may look.
async fn who_may_look(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
    next: Next,
) -> Result<Response, Error> {
    let access = control.access();
    if !access.may_look(&peer) {
        return Err(Error::NotPermitted { peer, access, to: "look" });
    }
    Ok(next.run(request).await)
}

impl Control {
    fn access(&self) -> Access {
        *self.access.borrow()
    }

    fn status(&self) -> Status {
        self.owner.status.borrow().seen_at(Moment::now())
    }

    /// The status with a look at the traffic that is fresh, if one is to be had soon.
    async fn fresh_status(&self) -> Status {
        let status = self.status();
        if status.traffic.age_seconds.is_some_and(|age| age <= FRESH.as_secs_f64()) {
            return status;
        }
        let (looked, fresh) = oneshot::channel();
        // Where the owner is busy or has gone, the status it has left is shown, with its age.
        if self.owner.looks.try_send(looked).is_ok() {
            let _late = time::timeout(LOOK, fresh).await;
        }
        self.status()
    }

    fn may_drain(&self, peer: &Peer) -> Result<(), Error> {
        let access = self.access();
        if access.may_drain(peer) {
            return Ok(());
        }
        Err(Error::NotPermitted { peer: peer.clone(), access, to: "drain" })
    }

    /// Brings a request to the owner, and the answer back.
    async fn ask(&self, peer: &Peer, request: lifecycle::Request) -> Result<Answered, Error> {
        self.may_drain(peer)?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask { request, origin: peer.origin(), reply };
        let answered = async {
            self.owner.asks.send(ask).await.map_err(|_gone| Error::NoAnswer)?;
            answer.await.map_err(|_gone| Error::NoAnswer)
        };
        time::timeout(ANSWER, answered).await.map_err(|_late| Error::NoAnswer)?.map(Answered)
    }
}

async fn status(State(control): State<Control>) -> Json<Status> {
    Json(control.fresh_status().await)
}

async fn balancers(State(control): State<Control>) -> Json<Vec<Balancer>> {
    Json(control.status().balancers)
}

async fn doctor(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<Diagnosis>, Error> {
    // It probes the server and asks systemd: not for everybody.
    control.may_drain(&peer)?;
    let doctor = control.owner.doctor.as_ref().ok_or(Error::NoAnswer)?;
    let status = control.fresh_status().await;
    let diagnosis = time::timeout(ANSWER, doctor.examine(&status)).await;
    diagnosis.map(Json).map_err(|_late| Error::NoAnswer)
}

async fn history(State(control): State<Control>, uri: Uri) -> Result<Json<Vec<Record>>, Error> {
    let query = uri.query().unwrap_or_default();
    let last = match query.split('&').find_map(|pair| pair.strip_prefix("last=")) {
        Some(last) => last.parse().ok().filter(|last| (1..=DRAINS).contains(last)),
        None => Some(DRAINS),
    };
    let last =
        last.ok_or_else(|| Error::BadRequest(format!("expected last=1 to last={DRAINS}, found {query:?}")))?;
    Ok(Json(control.owner.reports.last(last).await?))
}

async fn history_of(
    State(control): State<Control>,
    drain: Result<Path<u64>, PathRejection>,
) -> Result<Json<Record>, Error> {
    let Path(drain) =
        drain.map_err(|error| Error::BadRequest(format!("expected a drain's number: {error}")))?;
    Ok(Json(control.owner.reports.of(drain).await?.ok_or(Error::NoSuchDrain(drain))?))
}

async fn watch(State(control): State<Control>, Extension(tie): Extension<Tie>) -> Result<Response, Error> {
    let most = control.most_watches;
    let watch =
        Arc::clone(&control.watches).try_acquire_owned().map_err(|_none| Error::TooManyWatches(most))?;
    tie.stays();
    // One line in flight: a reader who is slow misses what was between, and never gets behind.
    let (lines, body) = Channel::<Bytes>::new(1);
    tokio::spawn(follow(control, lines, tie));
    // The body goes with its connection; the task that fills it notices only when there is a line to write.
    let body = body.map_frame(move |line| {
        let _goes_with_the_body = &watch;
        line
    });
    Ok(([("content-type", "application/x-ndjson")], Body::new(body)).into_response())
}

async fn follow(mut control: Control, mut lines: Sender<Bytes>, tie: Tie) {
    loop {
        let now = Moment::now();
        let status = Arc::clone(&control.owner.status.borrow_and_update());
        // All of it can be written as JSON: its keys are strings.
        let Ok(mut line) = serde_json::to_vec(&status.seen_at(now)) else { return };
        line.push(b'\n');
        match time::timeout(UNREAD, lines.send_data(line.into())).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return,
            Err(_unread) => return tie.cut(),
        }
        if control.owner.status.changed().await.is_err() {
            return;
        }
    }
}

async fn soft(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Answered, Error> {
    control.ask(&peer, lifecycle::Request::Soft(options(body).await?)).await
}

async fn hard(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Answered, Error> {
    control.ask(&peer, lifecycle::Request::Hard(options(body).await?)).await
}

async fn restart(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Answered, Error> {
    let options = Options { then: Some(Then::Restart), ..options(body).await? };
    control.ask(&peer, lifecycle::Request::Soft(options)).await
}

async fn up(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Answered, Error> {
    let up: Up = read(body, "\"force\", or nothing").await?.unwrap_or_default();
    control.ask(&peer, if up.force { lifecycle::Request::UpByForce } else { lifecycle::Request::Up }).await
}

async fn come_back(
    State(control): State<Control>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Answered, Error> {
    let ran = read(body, "\"took_ms\" and \"failure\", or nothing").await?;
    control.ask(&peer, lifecycle::Request::Return(ran)).await
}

async fn no_such_path() -> Error {
    Error::NoSuchPath
}

async fn options(body: Body) -> Result<Options, Error> {
    let expected =
        "\"then\", \"reason\", \"force\", \"for_seconds\", \"command\", each of which may be left out";
    Ok(read(body, expected).await?.unwrap_or_default())
}

/// Reads a body of JSON; nothing where there is none.
async fn read<T: DeserializeOwned>(body: Body, expected: &str) -> Result<Option<T>, Error> {
    let body = time::timeout(BODY, to_bytes(body, BODY_BYTES)).await;
    let body = body.map_err(|_late| Error::BadRequest("the body did not come in time".to_owned()))?;
    let body = body.map_err(|error| {
        Error::BadRequest(format!("expected a body of at most {BODY_BYTES} bytes: {error}"))
    })?;
    if body.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(&body).map(Some);
    read.map_err(|error| Error::BadRequest(format!("expected {{{expected}}}: {error}")))
}

/// What the owner said, with its status.
struct Answered(Reply);

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Reply::Accepted { .. } => StatusCode::ACCEPTED,
            Reply::Already { .. } => StatusCode::OK,
            Reply::Refused { .. } => StatusCode::CONFLICT,
        };
        (status, Json(self.0)).into_response()
    }
}

/// Why a request did not get as far as an answer of the owner.
#[derive(thiserror::Error, Debug)]
enum Error {
    #[error("{}", not_permitted(peer, *access, to))]
    NotPermitted { peer: Peer, access: Access, to: &'static str },
    #[error("{0}")]
    BadRequest(String),
    #[error("there is no such path or method; is this drainctl of the agent's version?")]
    NoSuchPath,
    #[error(
        "expected at most {0} who watch at once, found one more; end another watch, or ask for the status"
    )]
    TooManyWatches(usize),
    #[error("the history knows no drain {0}; `drainctl history` lists those that it knows")]
    NoSuchDrain(u64),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the agent is there, but did not answer in {} s; its log should say why", ANSWER.as_secs())]
    NoAnswer,
}

/// Who it is for, and how others get there.
fn not_permitted(peer: &Peer, access: Access, to: &str) -> String {
    let local = match peer {
        Peer::Local(local) => local,
        Peer::Remote { holder, .. } => {
            return format!(
                "the token {} is for looking; take one whose line in control.token_file does not end in `look`",
                holder.name
            );
        }
    };
    let uid = local.uid();
    let group = match access.drain {
        Who::Members(gid) => format!(" and members of the group {gid}"),
        Who::Nobody | Who::Everybody => " (control.group in the configuration can name a group)".to_owned(),
    };
    match (to, access.look) {
        ("look", Who::Members(look)) => format!(
            "uid {uid} may not look; that is for members of the group {look} (control.look), and for who may drain: \
             root, the agent's own user{group}"
        ),
        ("look", Who::Nobody) => format!(
            "uid {uid} may not look: the group of control.look is not there; that is for who may drain: root, the \
             agent's own user{group}"
        ),
        _ if access.may_look(peer) => {
            format!("uid {uid} may look, but not drain; that is for root, the agent's own user{group}")
        }
        _ => format!("uid {uid} may not drain; that is for root, the agent's own user{group}"),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, failure) = match self {
            Self::NotPermitted { .. } => (StatusCode::FORBIDDEN, "not_permitted"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no_such_path"),
            Self::TooManyWatches(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_watches"),
            Self::NoSuchDrain(_) => (StatusCode::NOT_FOUND, "no_such_drain"),
            Self::Unreadable(_) => (StatusCode::INTERNAL_SERVER_ERROR, "unreadable"),
            Self::NoAnswer => (StatusCode::SERVICE_UNAVAILABLE, "no_answer"),
        };
        (status, Json(Failure { failure: failure.to_owned(), text: self.to_string() })).into_response()
    }
}
