//! What is answered at which path.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse},
    routing::{any, get, post},
};
use serde::Serialize;
use tokio::time::timeout;

use super::{Subject, act, auth::Guests, statistics};
use crate::{
    admin::{
        metrics::{self, Form, Own, Scope},
        page::{self, Observer},
    },
    clock,
    config::{AdminPort, PortLevel},
};

/// What is sent with a request is a line of JSON or a short form.
const BODY_BYTES: usize = 4096;

/// How long that may take to come, as long as a head: who never sends what they announce must not hold a place.
const BODY: Duration = Duration::from_secs(5);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// By which the proxy, like an agent, tells a drain from a mistyped path.
const MARKER: HeaderName = HeaderName::from_static("x-drain-state");

/// What the pages are made of.
pub(super) struct Desk {
    pub(super) settings: AdminPort,
    pub(super) guests: Guests,
    pub(super) subject: Subject,
    pub(super) observer: Arc<Observer>,
}

/// All that the port answers, and who looks for its live pages.
pub(super) fn router(settings: &AdminPort, guests: Guests, subject: Subject) -> (Router, Arc<Observer>) {
    let operate = settings.level == PortLevel::Operate;
    let observer =
        Observer::new(subject.statistics.clone(), subject.standing.clone(), subject.began, operate);
    let desk = Arc::new(Desk { settings: settings.clone(), guests, subject, observer: observer.clone() });
    let guarded = Router::new()
        .route("/live", get(|| async { typed(HTML, page::PAGE) }))
        .route("/page.css", get(|| async { typed(CSS, page::STYLE) }))
        .route("/page.js", get(|| async { typed("text/javascript; charset=utf-8", page::SCRIPT) }))
        .route("/stats.css", get(|| async { typed(CSS, include_str!("stats.css")) }))
        .route("/events", get(events))
        .route("/act", post(act::by_button))
        .route("/metrics", get(metrics))
        .fallback(rest)
        .layer(middleware::from_fn(complete))
        .layer(middleware::from_fn_with_state(desk.clone(), admit));
    let router = Router::new()
        .route("/healthz", get(healthz))
        // HAProxy asks with OPTIONS.
        .route("/readyz", any(readyz))
        .merge(guarded)
        .layer(middleware::map_response(harden))
        .with_state(desk);
    (router, observer)
}

/// That there is a process.
#[derive(Serialize)]
struct Alive {
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
}

async fn healthz(State(desk): State<Arc<Desk>>) -> Json<Alive> {
    let uptime = clock::now().saturating_duration_since(desk.subject.began);
    Json(Alive {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: uptime.as_secs(),
    })
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    let announced = *desk.subject.standing.borrow();
    let marker = announced.marker();
    let marker = HeaderValue::try_from(&marker).unwrap_or(HeaderValue::from_static("up"));
    let text = format!("{}\n", announced.standing);
    (announced.standing.status(), [(MARKER, marker)], text).into_response()
}

/// The events of one live page.
async fn events(State(desk): State<Arc<Desk>>) -> Response {
    match desk.observer.view() {
        Some(events) => Sse::new(events).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response(),
    }
}

async fn metrics(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Response {
    let scope = match Scope::asked(uri.query().unwrap_or_default()) {
        Ok(scope) => scope,
        Err(wrong) => return (StatusCode::BAD_REQUEST, wrong).into_response(),
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let form = Form::asked(accept.unwrap_or_default());
    let standing = desk.subject.standing.borrow().standing;
    let snapshot = desk.subject.statistics.snapshot(clock::now());
    typed(
        form.content_type(),
        metrics::page(&snapshot, &Own::now(standing, desk.subject.statistics.unwritten()), form, scope),
    )
}

/// HAProxy's statistics, whose address may be anything, or the live page.
async fn rest(
    State(desk): State<Arc<Desk>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    form: String,
) -> Response {
    if let Some(suffix) = statistics::suffix(&desk, &uri) {
        return statistics::answer(&desk, &method, &headers, suffix, &form);
    }
    if uri.path() == "/" {
        return typed(HTML, page::PAGE);
    }
    let text =
        format!("there is nothing here: see /live, /metrics, {} and /readyz\n", desk.settings.statistics);
    (StatusCode::NOT_FOUND, text).into_response()
}

/// Lets in who is to be let in.
async fn admit(State(desk): State<Arc<Desk>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if desk.guests.admit(authorization) {
        return next.run(request).await;
    }
    let challenge = HeaderValue::from_static("Basic realm=\"drain-proxy\", charset=\"UTF-8\"");
    let text = "expected a user and a password of admin.auth\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], text).into_response()
}

/// Goes on with the whole body.
async fn complete(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match whole(body).await {
        Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// A body, if it comes in time and is not too long.
async fn whole(body: Body) -> Result<Bytes, (StatusCode, String)> {
    let read = timeout(BODY, to_bytes(body, BODY_BYTES)).await.map_err(|_| {
        (StatusCode::REQUEST_TIMEOUT, format!("expected the body within {} s\n", BODY.as_secs()))
    })?;
    read.map_err(|_| {
        (StatusCode::PAYLOAD_TOO_LARGE, format!("expected a body of at most {BODY_BYTES} bytes\n"))
    })
}

/// What every answer says, so that no other page can use it and no browser keeps it.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` the page's own form would not say where it is from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// An answer with a type.
pub(super) fn typed(kind: &'static str, text: impl Into<Cow<'static, str>>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], Body::from(text.into())).into_response()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn refused(body: Body) -> Option<u16> {
        whole(body).await.err().map(|(status, _)| status.as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_or_is_too_long_is_refused() {
        let never = tokio_stream::pending::<Result<Bytes, Infallible>>();
        let began = clock::now();
        assert_eq!(refused(Body::from_stream(never)).await, Some(408));
        assert_eq!(clock::now().duration_since(began).as_secs(), BODY.as_secs());
        assert_eq!(refused(Body::from(vec![b'a'; BODY_BYTES])).await, None);
        assert_eq!(refused(Body::from(vec![b'a'; BODY_BYTES + 1])).await, Some(413));
        assert_eq!(refused(Body::empty()).await, None);
    }
}
