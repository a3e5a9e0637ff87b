//! `[drain]`: how long each phase of a drain lasts, and when it may act.

use std::{fmt, num::NonZeroU32, path::PathBuf, time::Duration};

use drain_config::{Table, Value};

use super::Restart;
use crate::lifecycle::Then;

/// How long each phase of a drain lasts, and when it may act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drain {
    /// Until every balancer has taken notice.
    pub acknowledge: Acknowledge,
    /// The soft phase.
    pub soft: Soft,
    /// The hard phase.
    pub hard: Hard,
    /// So many answers acknowledge a drain for a balancer that sends no state header: its own `fall`.
    pub fall: NonZeroU32,
    /// What must remain of the others' weight.
    pub min_remaining: MinRemaining,
    /// What an open connection without a request in flight means.
    pub long_lived: LongLived,
    /// What follows a drain that a signal asks for.
    pub then: Then,
    /// The lock of all servers of which only one may be out at a time; `None`: no such thing.
    pub exclusive: Option<PathBuf>,
}

/// The limit of the acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledge {
    /// How long it may take, from the announcement.
    pub limit: Duration,
    /// What follows the limit.
    pub at_limit: AtAcknowledgeLimit,
}

/// What follows when not every balancer has acknowledged in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtAcknowledgeLimit {
    /// Back to up: nobody has listened, so nobody is protected.
    Abort,
    /// On, as if all had acknowledged.
    Proceed,
}

/// The soft phase; its times run from the acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Soft {
    /// Nothing in flight and no new request for so long ends it; at most `limit`. Zero: two looks that find nothing.
    pub quiet: Duration,
    /// The longest that it may last; then it becomes hard.
    pub limit: Duration,
}

/// The hard phase; its times run from the acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hard {
    /// Nothing in flight and no new request for so long ends it; at most `limit`. Zero: two looks that find nothing.
    pub quiet: Duration,
    /// Whether `quiet` is not the user's own number but the default: then balancers that all report zero
    /// sessions may end the phase earlier.
    pub quiet_is_default: bool,
    /// The longest that it may last.
    pub limit: Duration,
    /// What follows the limit.
    pub at_limit: AtHardLimit,
}

/// What follows when a hard drain has not become quiet in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtHardLimit {
    /// Restart, and cut what is left.
    Restart,
    /// Back to up.
    Abort,
}

/// What must remain of a balancer's weight without this server, before it may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MinRemaining {
    /// So much weight; 0 switches the guard off.
    Weight(u32),
    /// So much of the weight that the balancer had with this server, in per cent (0 to 100).
    Percent(u8),
}

/// What an open connection without a request in flight means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LongLived {
    /// Nothing, once it has been silent for `quiet`.
    Quiet,
    /// It holds the drain until it closes or the limit comes.
    Wait,
    /// It holds the drain until it has been silent for so long, closes, or the limit comes.
    IgnoreAfter(Duration),
}

/// As it is written.
impl fmt::Display for LongLived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quiet => f.write_str("quiet"),
            Self::Wait => f.write_str("wait"),
            Self::IgnoreAfter(after) => write!(f, "ignore after {after:?}"),
        }
    }
}

impl Drain {
    /// `restart` and `runs` are what a signal's drain can end with.
    pub(super) fn read(table: &Table<'_>, restart: Option<&Restart>, runs: &[&str]) -> Self {
        let can_stop = restart.is_none_or(Restart::can_stop);
        Self {
            acknowledge: table.section("acknowledge", Acknowledge::read),
            soft: table.section("soft", Soft::read),
            hard: table.section("hard", Hard::read),
            fall: table.field("fall", FALL, counter).into_inner(),
            min_remaining: table.field("min_remaining", MinRemaining::Weight(1), min_remaining).into_inner(),
            long_lived: table.field("long_lived", LongLived::Quiet, long_lived).into_inner(),
            then: table.field("then", Then::Restart, |value| then(value, can_stop, runs)).into_inner(),
            exclusive: table.field("exclusive", None, exclusive).into_inner(),
        }
    }
}

impl Acknowledge {
    fn read(table: &Table<'_>) -> Self {
        let words = [("abort", AtAcknowledgeLimit::Abort), ("proceed", AtAcknowledgeLimit::Proceed)];
        Self {
            limit: table.duration("limit", Duration::from_mins(1)).copied(),
            at_limit: table.choice("at_limit", AtAcknowledgeLimit::Abort, &words).copied(),
        }
    }
}

impl Soft {
    fn read(table: &Table<'_>) -> Self {
        let quiet = table.duration_or_zero("quiet", Duration::from_mins(5));
        let limit = table.duration("limit", Duration::from_mins(30));
        Self { quiet: quiet.at_most("quiet", &limit, "limit", table), limit: limit.copied() }
    }
}

impl Hard {
    fn read(table: &Table<'_>) -> Self {
        let words = [("restart", AtHardLimit::Restart), ("abort", AtHardLimit::Abort)];
        let quiet = table.duration_or_zero("quiet", Duration::from_secs(3));
        let limit = table.duration("limit", Duration::from_secs(30));
        Self {
            quiet: quiet.at_most("quiet", &limit, "limit", table),
            quiet_is_default: quiet.place().is_none(),
            limit: limit.copied(),
            at_limit: table.choice("at_limit", AtHardLimit::Restart, &words).copied(),
        }
    }
}

/// HAProxy's own `fall`.
const FALL: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

/// The greatest number of answers or probes that a counter may ask for: at one a second, more than a quarter of
/// an hour.
const MOST_COUNTED: u32 = 1000;

/// A number of answers or probes.
pub(super) fn counter(value: &Value<'_>) -> Option<NonZeroU32> {
    value.number(1, MOST_COUNTED).and_then(NonZeroU32::new)
}

/// The lock of all servers of this host: beside the agents' control sockets.
const HOST_LOCK: &str = "/run/drain-agent/host.lock";

/// What follows a signal's drain.
fn then(value: &Value<'_>, can_stop: bool, runs: &[&str]) -> Option<Then> {
    let then = value.text()?.parse().ok();
    match &then {
        None => {
            value.wrong("is nothing that can follow", r#"expected "restart", "stop", "hold" or "run:NAME""#);
        }
        Some(Then::Stop) if !can_stop => {
            value.wrong(
                "needs a command",
                r#"expected `restart.stop`, for example ["systemctl", "stop", "apache2.service"]"#,
            );
            return None;
        }
        Some(Then::Run(name)) if !runs.contains(&name.as_str()) => {
            value.wrong("names a command", format!("but the file has none: write `[run.{name}]`"));
            return None;
        }
        Some(_) => {}
    }
    then
}

/// The host's lock, or one of its own for some of its servers.
#[expect(clippy::option_option, reason = "the outer one says whether the value is sound, as in all readers")]
fn exclusive(value: &Value<'_>) -> Option<Option<PathBuf>> {
    match value.text()? {
        "no" => Some(None),
        "host" => Some(Some(HOST_LOCK.into())),
        path if path.starts_with('/') => Some(Some(path.into())),
        _ => {
            value.wrong(
                "names no lock",
                r#"expected "host", "no", or the absolute path of a file that some servers share"#,
            );
            None
        }
    }
}

/// A weight, or a share of it.
fn min_remaining(value: &Value<'_>) -> Option<MinRemaining> {
    if !value.is_text() {
        return value.number(0, u32::MAX).map(MinRemaining::Weight);
    }
    let percent = value.string()?.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    let percent = percent.filter(|percent: &u8| *percent <= 100);
    if percent.is_none() {
        value.wrong(
            "is neither a weight nor a share",
            r#"expected a weight such as 1, or a share from "0%" to "100%""#,
        );
    }
    percent.map(MinRemaining::Percent)
}

/// What an open connection without a request means.
fn long_lived(value: &Value<'_>) -> Option<LongLived> {
    const IGNORE: &str = "ignore after";
    if value.is_text() && value.string()?.starts_with("ignore") {
        let after = value.string()?.strip_prefix(IGNORE).map(str::trim).filter(|after| !after.is_empty());
        if after.is_none() {
            value.wrong("does not say after which silence", r#"expected such as "ignore after 30s""#);
        }
        return value.duration_in(after?).map(LongLived::IgnoreAfter);
    }
    value.choice(&[
        ("quiet", LongLived::Quiet),
        ("wait", LongLived::Wait),
        ("ignore after 30s", LongLived::IgnoreAfter(Duration::from_secs(30))),
    ])
}
