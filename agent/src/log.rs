//! The log: lines on stderr, where systemd's journal and people's terminals read them.

use std::io::IsTerminal;

use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The variable that says what is logged, in the manner of `RUST_LOG`: `debug`, or `info,drain_agent::owner=trace`.
pub const VARIABLE: &str = "DRAIN_AGENT_LOG";

/// Starts the log. To be called once, first of all.
pub fn start() {
    let wanted = std::env::var(VARIABLE).ok();
    let targets = wanted.as_ref().map(|text| text.parse::<Targets>());
    let misread = matches!(targets, Some(Err(_)));
    let filter =
        targets.and_then(Result::ok).unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
    if misread {
        tracing::warn!(
            "{VARIABLE} is not understood: expected something like \"debug\" or \"info,drain_agent::owner=trace\""
        );
    }
}
