//! What can be seen of an agent and its server.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Origin, Outcome, Phase, Then, Wait};
use crate::clock::Moment;

/// Everything that can be seen of an agent and its server at one moment.
///
/// The owner of the life cycle publishes it on every change. What only runs with the clock (seconds left, ages) is
/// true for the moment [`Status::taken`]; [`Status::seen_at`] brings it up to date, so that nobody has to publish for
/// the clock's sake.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The server's name in the configuration.
    pub server: String,
    /// Where it stands.
    pub phase: Phase,
    /// What health checks are answered now.
    pub answer: u16,
    /// Why, in one line for people.
    pub reason: String,
    /// When this phase began, in seconds since 1970.
    pub since_unix: u64,
    /// Counts the changes of the answer.
    pub generation: u64,
    /// The drain that is under way; nothing where none is.
    pub asked: Option<Asked>,
    /// What is waited for at the moment and how long at most.
    pub limit: Option<Limit>,
    /// How many balancers act on the present answer.
    pub acknowledged: Acknowledged,
    /// Who asks for the server's health.
    pub balancers: Vec<Balancer>,
    /// Who is expected and has never asked, as `balancers.expect` names them.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Who uses the server.
    pub traffic: Traffic,
    /// What the server's own readiness probe says.
    pub readiness: Readiness,
    /// The last drains that ended, the newest last; at most [`DRAINS`] of them.
    pub drains: Vec<Drain>,
    /// What people should know and nothing else shows.
    pub warnings: Vec<String>,
    /// The agent itself.
    pub agent: Agent,
    /// For which moment the running times are true. Does not travel: the reader has another clock.
    #[serde(skip)]
    pub taken: Moment,
}

/// How many ended drains a [`Status`] lists: enough for somebody who waits for the end of one to find it although
/// others have followed, and few enough for each line of a watch to stay short.
pub const DRAINS: usize = 8;

impl Status {
    /// What stood against quiet when the limit of a hold had passed, while it is not quiet.
    pub fn still_in_use(&self) -> Option<&str> {
        let passed = self.asked.as_ref()?.limit_passed.as_deref()?;
        self.traffic.quiet_seconds.is_none().then_some(passed)
    }

    /// The same with all running times as they are at `now`.
    #[must_use]
    pub fn seen_at(&self, now: Moment) -> Self {
        let passed = now.since(self.taken).as_secs_f64();
        let mut status = self.clone();
        if let Some(limit) = &mut status.limit {
            limit.seconds_left = (limit.seconds_left - passed).max(0.0);
        }
        for balancer in &mut status.balancers {
            balancer.last_seconds += passed;
        }
        if let Some(age) = &mut status.traffic.age_seconds {
            *age += passed;
        }
        for source in &mut status.traffic.sources {
            for running in [&mut source.age_seconds, &mut source.last_seconds].into_iter().flatten() {
                *running += passed;
            }
        }
        status.agent.uptime_seconds += passed;
        status.taken = now;
        status
    }

    /// How the drain `id` ended, if it has ended and is remembered.
    pub fn ended(&self, id: u64) -> Option<&Drain> {
        self.drains.iter().rev().find(|drain| drain.id == id)
    }
}

/// A drain that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The drain's id.
    pub drain: u64,
    /// What was asked.
    pub what: Target,
    /// What follows zero; nothing where a soft drain holds in soft.
    pub then: Option<Then>,
    /// Who asked.
    pub origin: Origin,
    /// Why, as they said.
    pub reason: Option<String>,
    /// When, in seconds since 1970.
    pub since_unix: u64,
    /// When a drain that holds is over by itself, in seconds since 1970; nothing where it lasts until told otherwise.
    #[serde(default)]
    pub until_unix: Option<u64>,
    /// A drain that holds has come as far as it goes: in soft all balancers have acknowledged; in hard the traffic has
    /// been zero as well, or the limit has passed.
    pub reached: bool,
    /// It holds in hard, and was not quiet when its limit had passed: what stood against that. With `at_limit = "abort"`
    /// it is not reached then. It stays when that has become quiet later.
    #[serde(default)]
    pub limit_passed: Option<String>,
    /// One further restart follows this one.
    pub again: bool,
    /// The server is stopped, as was asked, and held out for that.
    #[serde(default)]
    pub stopped: bool,
    /// What the one who asked runs himself while it holds.
    #[serde(default)]
    pub command: Option<String>,
}

/// What kind of drain was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// No new users.
    Soft,
    /// Nobody.
    Hard,
}

/// The longest that the present wait may last.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// What is waited for.
    pub waits_for: Wait,
    /// How long at most from now on.
    pub seconds_left: f64,
    /// What happens then, for people: "withdraws to up".
    pub then: String,
}

/// How many balancers act on the present answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Acknowledged {
    /// That do.
    pub count: u32,
    /// That should: those that are known, and those that are expected.
    pub of: u32,
    /// Whether that suffices: an empty table is unknown, not acknowledged.
    pub complete: bool,
    /// What is waited for beside the balancers that are known, for people: one that is expected, or others that may not
    /// have asked yet.
    #[serde(default)]
    pub awaits: Option<String>,
}

/// A balancer, as it was last heard of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Balancer {
    /// Where its checks come from.
    pub source: IpAddr,
    /// What it calls itself (`node=` in its header).
    pub node: Option<String>,
    /// What it calls this server (`name=BACKEND/SERVER`); of one that sends no header what it asks for, or `agent-check`.
    pub name: Option<String>,
    /// When it first asked, in seconds since 1970.
    pub since_unix: u64,
    /// The longest of its recent intervals.
    pub interval_seconds: Option<f64>,
    /// How long ago it last asked.
    pub last_seconds: f64,
    /// What it was last answered.
    pub answer: u16,
    /// The server's state in its eyes: `UP`, `UP 1/3`, `NOLB`, `DOWN`.
    pub view: Option<String>,
    /// The server's weight and that of all together (`weight=OWN/TOTAL`).
    pub weight: Option<String>,
    /// Its sessions on this server.
    pub scur: Option<u32>,
    /// Users whose cookie names this server (a drain-proxy tells).
    pub users: Option<u32>,
    /// Whether it has acknowledged the present answer.
    pub acknowledged: bool,
    /// How that is known, or what is missing.
    pub why: String,
    /// It has been silent for so long that no drain waits for it.
    #[serde(default)]
    pub gone: bool,
    /// The weight of the other servers in its eyes; nothing where it does not say.
    #[serde(default)]
    pub remaining: Option<u32>,
    /// Why a drain would be refused for its sake, by `drain.min_remaining`, for people.
    #[serde(default)]
    pub too_few: Option<String>,
    /// It has known no other server for a day: then there is none whose return could be waited for.
    #[serde(default)]
    pub alone: bool,
}

/// Who uses the server. Unknown is never zero: what no source could read is `None`, and `unknown` says why.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests whose response is not finished.
    pub in_flight: Option<u32>,
    /// Open connections without a request.
    pub idle: Option<u32>,
    /// How long it has been quiet; nothing while it is not.
    pub quiet_seconds: Option<f64>,
    /// How long it must be quiet; nothing where no drain waits for it.
    pub needed_seconds: Option<f64>,
    /// How long ago the look was made that has found all this; nothing where none was made yet. While a drain waits it
    /// is well below a second; while up a look is made when somebody asks for the status.
    #[serde(default)]
    pub age_seconds: Option<f64>,
    /// Sources that can't be read, each with the reason.
    pub unknown: Vec<String>,
    /// Every source by itself, the sockets first.
    #[serde(default)]
    pub sources: Vec<Source>,
}

/// One source of traffic, as it was last read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// As people know it: `sockets`, `balancers`, `access_log /var/log/apache2/access.log`, `gauge http://…`.
    pub name: String,
    /// Requests whose response is not finished; nothing where it can't be read or does not see them.
    pub in_flight: Option<u32>,
    /// Open connections without a request; the same.
    pub idle: Option<u32>,
    /// Users who hold a cookie that names this server; the same.
    pub users: Option<u32>,
    /// Requests that it has counted since the agent began to read it; the same.
    pub requests: Option<u64>,
    /// How long ago it last showed that somebody used the server; nothing where it never has.
    pub last_seconds: Option<f64>,
    /// How long ago it was read; nothing where it never was.
    pub age_seconds: Option<f64>,
    /// How long it has been quiet; nothing while it is not, and while no drain waits.
    pub quiet_seconds: Option<f64>,
    /// What it says about a drain.
    pub verdict: Verdict,
    /// Why it holds or is unknown, for people; empty where it is quiet.
    pub why: String,
}

/// What a source of traffic says about a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody uses the server, as far as it can see.
    Quiet,
    /// Somebody does.
    Holds,
    /// It can't be read, or was not read yet: that is never zero, and holds a drain.
    Unknown,
}

/// What the server's own readiness probe says.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Readiness {
    /// Nothing where it has not been asked yet.
    pub ready: Option<bool>,
    /// The last probe's result, for people.
    pub text: String,
    /// How long it takes at most until the probes have seen that the server has become ready.
    #[serde(default)]
    pub settles_seconds: f64,
}

/// A drain that has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Drain {
    /// Its id.
    pub id: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The same, for people.
    pub text: String,
    /// When, in seconds since 1970.
    pub ended_unix: u64,
    /// What was to follow zero; nothing where it was to hold in soft.
    #[serde(default)]
    pub then: Option<Then>,
    /// How long that took, its proof included, as the history tells it of the last try; nothing where there was none.
    pub restart_seconds: Option<f64>,
    /// The end of what its command wrote.
    pub output: Option<String>,
    /// How long after its end the balancers sent users again; nothing before that, and where none came within a minute.
    #[serde(default)]
    pub users_back_seconds: Option<f64>,
}

/// The agent itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How long it has been running.
    pub uptime_seconds: f64,
}
