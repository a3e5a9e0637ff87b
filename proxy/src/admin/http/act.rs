//! What people order by the live page's buttons.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;

use super::{
    order::{self, Order},
    routes::Desk,
};
use crate::{backend::Administration, config::PortLevel};

/// A header that no form of another page can send: a browser asks first, and is not answered.
const PROOF: (&str, &str) = ("x-drain-proxy", "act");

/// What a button orders.
#[derive(Debug, Deserialize)]
pub(super) struct Pressed {
    backend: String,
    server: String,
    to: To,
}

/// What a button says.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    Soft,
    Hard,
    Up,
}

impl To {
    const fn order(self) -> Order {
        Order::State(match self {
            Self::Soft => Administration::Drain,
            Self::Hard => Administration::Maintenance,
            Self::Up => Administration::Ready,
        })
    }
}

/// A button of the live page was pressed.
pub(super) async fn by_button(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Json(pressed): Json<Pressed>,
) -> (StatusCode, String) {
    if desk.settings.level < PortLevel::Operate {
        return (StatusCode::FORBIDDEN, "this port may be looked at only (admin.level)\n".to_owned());
    }
    if headers.get(PROOF.0).is_none_or(|value| value != PROOF.1) {
        return (StatusCode::FORBIDDEN, format!("expected the header {}: {}\n", PROOF.0, PROOF.1));
    }
    let Pressed { backend, server, to } = pressed;
    let generation = desk.subject.statistics.generation();
    let found = order::find(&generation, &backend, &server);
    let carried_out = found.and_then(|named| order::carry_out(&desk.subject.gate, &named, to.order()));
    match carried_out {
        Ok(_) => (StatusCode::OK, String::new()),
        Err(refusal) => (StatusCode::CONFLICT, refusal),
    }
}
