//! What the live page shows of a server, as a pure function of its row in the statistics.
//!
//! | status in the statistics | `x-drain-state` of its agent | shown | asked here |
//! |---|---|---|---|
//! | `MAINT` | any | maint | hard |
//! | `DRAIN` | any | soft | soft |
//! | `DRAIN (agent)` | any | soft | |
//! | `NOLB` | any | soft | |
//! | `DOWN` | hard, restarting, warming | the same | |
//! | `DOWN` | none | down | |
//! | `no check` | | unchecked | |
//! | `UP`, no check has come back | | starting | |
//! | `UP` | | up | |

use serde::Serialize;

use crate::admin::stats::{Field, Row, Value};

/// What a server is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Up,
    Soft,
    Hard,
    Restarting,
    Warming,
    Maint,
    Down,
    Starting,
    Unchecked,
}

/// What is shown of a server that changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Server {
    state: State,
    /// The phase of the drain, as its agent tells it.
    phase: Option<State>,
    /// Why, as its agent tells it.
    reason: Option<String>,
    /// Since when it is what it is, in seconds since 1970.
    since: u64,
    /// By whoever operates this proxy: "soft" or "hard".
    asked: Option<&'static str>,
    /// The agent has been shown that the drain is acted on; `None`: it is not asked for that.
    ack: Option<bool>,
    users: u64,
    flight: i64,
    idle: i64,
    queued: i64,
    weight: i64,
    /// Of its slow start, in per cent.
    throttle: Option<i64>,
    max: Option<i64>,
    /// Requests in a second.
    pub(super) rate: f64,
    /// Mean time to the head of a response, in milliseconds; `None`: there was no request lately.
    pub(super) time: Option<i64>,
    /// Requests that it has failed: connections, answers, aborts, 5xx.
    failed: i64,
    check: Option<String>,
}

/// What an agent says of its drain: `soft; reason="…"; since=…`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Told<'m> {
    phase: Option<State>,
    reason: Option<&'m str>,
    since: Option<u64>,
}

impl<'m> Told<'m> {
    fn read(marker: &'m str) -> Self {
        let phase = match marker.split(';').next().unwrap_or_default().trim() {
            "soft" => State::Soft,
            "hard" => State::Hard,
            "restarting" => State::Restarting,
            "warming" => State::Warming,
            _ => return Self::default(),
        };
        let reason = marker.split_once("reason=\"").and_then(|(_, rest)| {
            // What is behind it is ours; a quotation mark inside has a backslash.
            rest.rsplit_once('"').map(|(reason, _)| reason)
        });
        let since = marker.rsplit_once("since=").and_then(|(_, rest)| rest.trim().parse().ok());
        Self { phase: Some(phase), reason, since }
    }
}

impl Server {
    /// Of this row, `now_unix`; `rate` is what has been seen of its requests.
    pub(super) fn of(row: &Row, rate: f64, now_unix: u64) -> Self {
        let status = row.text(Field::Status);
        let told = row.beyond.drain.as_deref().map(Told::read).unwrap_or_default();
        let is_first = row.text(Field::CheckStatus).ends_with("INI");
        let (state, asked) = match status.split(' ').next().unwrap_or_default() {
            "MAINT" => (State::Maint, Some("hard")),
            "DRAIN" => (State::Soft, (!status.ends_with("(agent)")).then_some("soft")),
            "NOLB" => (State::Soft, None),
            "DOWN" => (told.phase.filter(|phase| *phase != State::Soft).unwrap_or(State::Down), None),
            "no" => (State::Unchecked, None),
            _ if is_first => (State::Starting, None),
            _ => (State::Up, None),
        };
        // Whoever has set it by hand does not see what its agent says meanwhile as its state.
        let phase = told.phase.filter(|_| asked.is_none() && state != State::Down);
        let changed = row.number(Field::Lastchg).unsigned_abs();
        let since = told.since.filter(|_| phase.is_some()).unwrap_or(now_unix.saturating_sub(changed));
        let failed = [Field::Econ, Field::Eresp, Field::Hrsp5xx].map(|field| row.number(field)).iter().sum();
        let is_used = rate > 0.0 || row.number(Field::Scur) > 0;
        Self {
            state,
            phase,
            reason: told.reason.filter(|_| phase.is_some()).map(|reason| reason.replace("\\\"", "\"")),
            since,
            asked,
            ack: phase.map(|_| row.beyond.acknowledged),
            users: row.beyond.users,
            flight: row.number(Field::Scur),
            idle: row.number(Field::SrvIcur),
            queued: row.number(Field::Qcur),
            weight: row.number(Field::Weight),
            throttle: row.value(Field::Throttle).and_then(Value::number),
            max: row.value(Field::Slim).and_then(Value::number),
            rate,
            time: is_used.then(|| row.number(Field::Rtime)),
            failed,
            check: check(row),
        }
    }
}

/// The last check in a few characters.
fn check(row: &Row) -> Option<String> {
    let status = row.text(Field::CheckStatus);
    let code = row.value(Field::CheckCode).map(|code| format!(" {code}")).unwrap_or_default();
    let took = row.value(Field::CheckDuration).map(|took| format!(" in {took} ms")).unwrap_or_default();
    (!status.is_empty()).then(|| format!("{}{code}{took}", status.trim_start_matches("* ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::stats::Kind;

    fn shown(status: &str, drain: Option<&str>) -> Server {
        let mut row = Row::new(Kind::Server, 2, 1);
        row.set(Field::Status, status);
        row.set(Field::Lastchg, 10_u32);
        row.beyond.drain = drain.map(str::to_owned);
        Server::of(&row, 0.0, 1000)
    }

    #[test]
    fn every_row_of_the_table() {
        const HARD: Option<&str> = Some("hard; reason=\"x\"; since=900");
        for (status, drain, state, asked) in [
            ("MAINT", None, State::Maint, Some("hard")),
            ("MAINT", HARD, State::Maint, Some("hard")),
            ("DRAIN", None, State::Soft, Some("soft")),
            ("DRAIN 1/3", None, State::Soft, Some("soft")),
            ("DRAIN (agent)", None, State::Soft, None),
            ("NOLB", None, State::Soft, None),
            ("NOLB 1/3", Some("soft; since=900"), State::Soft, None),
            ("DOWN", HARD, State::Hard, None),
            ("DOWN 1/2", Some("warming; since=900"), State::Warming, None),
            ("DOWN", Some("restarting; since=900"), State::Restarting, None),
            ("DOWN", Some("failed; since=900"), State::Down, None),
            ("DOWN", None, State::Down, None),
            ("no check", None, State::Unchecked, None),
            ("UP", None, State::Up, None),
            ("UP 2/3", None, State::Up, None),
        ] {
            let server = shown(status, drain);
            assert_eq!((server.state, server.asked), (state, asked), "{status} {drain:?}");
        }
        let mut row = Row::new(Kind::Server, 2, 1);
        row.set(Field::Status, "UP 1/3");
        row.set(Field::CheckStatus, "* INI");
        assert_eq!(Server::of(&row, 0.0, 0).state, State::Starting);
    }

    #[test]
    fn what_the_agent_tells_is_told() {
        let told = Told::read("soft; reason=\"drain by \\\"root\\\"; since=1\"; since=1700000000");
        assert_eq!(told.reason, Some("drain by \\\"root\\\"; since=1"));
        assert_eq!((told.phase, told.since), (Some(State::Soft), Some(1_700_000_000)));
        let server = shown("NOLB", Some("soft; reason=\"a \\\"b\\\"\"; since=900"));
        assert_eq!((server.reason.as_deref(), server.since), (Some("a \"b\""), 900));
        assert_eq!(shown("NOLB", None).since, 990);
        for text in ["", "up; since=1", ";;;", "soft", "soft; reason=\"", "soft; since=x"] {
            let told = Told::read(text);
            assert!(told.since.is_none() && told.reason.is_none_or(str::is_empty), "{text}: {told:?}");
        }
    }
}
