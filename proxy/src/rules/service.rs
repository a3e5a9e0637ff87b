//! What the proxy answers of what it knows itself.

use std::sync::Arc;

use super::{
    Context,
    statistics::{Asked, Statistics},
};

/// What is asked of the proxy itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Service {
    /// HAProxy's statistics (`stats uri`).
    Statistics(Arc<Statistics>, Asked),
    /// Numbers for Prometheus (`http-request use-service prometheus-exporter`).
    Metrics(MetricsAsked),
}

/// How numbers for Prometheus are asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MetricsAsked {
    /// Which of them: what stands behind the address's `?`.
    pub query: String,
    /// In which form: the `Accept`.
    pub accept: String,
}

impl Service {
    /// Whether something is ordered, by a form that comes with the request.
    pub fn is_order(&self) -> bool {
        matches!(self, Self::Statistics(_, asked) if asked.is_order)
    }
}

impl MetricsAsked {
    pub(super) fn of(context: &Context<'_>) -> Self {
        let message = context.message;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let query = message.target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
        Self { query: text(query), accept: message.last(b"accept").map(text).unwrap_or_default() }
    }
}
