//! How long it takes from quiet to the restart, and from the request to the restart behind a real HAProxy.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use drain_agent::{
    balancers::Standing,
    control::api::Record,
    lifecycle::{Level, Phase},
};
use drain_tests::{Agent, Haproxy, Nginx, Place, Server, client::Connection, clock};
use rustix::process::Signal;

use super::{Row, WITHIN};

/// The bounds, in milliseconds.
const FROM_QUIET: f64 = 50.0;
const HARD_DRAIN: f64 = 750.0;
const SOFT_DRAIN: f64 = 1_900.0;

/// Of so many drains the slowest counts.
const DRAINS: usize = 10;
/// The quiet of drains whose last request is timed.
const QUIET: (&str, Duration) = ("1s", Duration::from_secs(1));
/// The shortest that there is, of drains on an idle server.
const NO_QUIET: &str = "0s";
/// The checks with which the bounds of whole drains are stated.
const CHECKS: &str = "inter 500 fastinter 100 downinter 100 fall 1 rise 1";

/// A server, its agent, and an HAProxy that has no other.
struct Stage {
    place: Place,
    nginx: Nginx,
    agent: Agent,
    balancer: Haproxy,
    noted: PathBuf,
}

impl Stage {
    fn new(test: &str, checks: &str, set: impl FnOnce(Agent) -> Agent) -> Self {
        let place = Place::new(test);
        let nginx = Nginx::new(&place, "shop").start();
        let noted = place.dir().join("restarts");
        let note = format!("date +%s%N >>'{}'", noted.display());
        let agent = Agent::guarding(&place, "agent", nginx.address().port())
            .restarting_by(vec!["sh".to_owned(), "-c".to_owned(), note])
            .proof("none")
            // It is the only one.
            .min_remaining(0);
        let agent = set(agent).start();
        let mut balancer = Haproxy::new(&place, "lb")
            .check(checks)
            .server(Server::new("s1", nginx.address()).checked_at(agent.address()))
            .start();
        balancer.child().expect_error("has no server available");
        Self { place, nginx, agent, balancer, noted }
    }

    /// Since 1970, when the restart's command had begun: its shell and its `date` are part of what is measured.
    fn restart(&self, drain: usize) -> Result<Duration> {
        let text = fs::read_to_string(&self.noted)?;
        let line = text.lines().nth(drain).context("the restart is not noted")?;
        Ok(Duration::from_nanos(line.parse()?))
    }
}

/// From the end of the last request and the configured quiet to the first line of the restart's command.
pub(crate) fn from_quiet() -> Result<Vec<Row>> {
    let stage = Stage::new("bounds_restart", "inter 100 fall 1 rise 1", |agent| agent.hard_quiet(QUIET.0));
    let mut slowest = Duration::ZERO;
    for drain in 0..DRAINS {
        stage.balancer.wait_for_status("s1", "UP", WITHIN);
        let mut user = Connection::open(stage.nginx.address())?;
        let before = stage.agent.last_ended();
        stage.agent.signal(Signal::USR2);
        let start = clock::now();
        let mut last = clock::unix();
        // Somebody asks until all have acknowledged, and then no more.
        loop {
            user.fetch("GET", "/", &[], b"")?;
            last = last.max(clock::unix());
            let status = stage.agent.status();
            if status.phase == Phase::Hard && status.acknowledged.complete {
                break;
            }
            ensure!(start.elapsed() < WITHIN, "nobody acknowledges");
            clock::pause(Duration::from_millis(50));
        }
        stage.agent.wait_for_success(before, WITHIN);
        let restart = stage.restart(drain)?;
        ensure!(restart >= last + QUIET.1.mul_f64(0.95), "restarted before it was quiet for a second");
        slowest = slowest.max(restart.saturating_sub(last + QUIET.1));
    }
    Ok(vec![row("from quiet to the restart, slowest of 10, ms", slowest, FROM_QUIET)])
}

/// A hard drain of an idle server, from the request to the restart.
pub(crate) fn hard_drain() -> Result<Vec<Row>> {
    let slowest = drains("bounds_hard", Signal::USR2, &[Level::Hard])?;
    Ok(vec![row("a hard drain behind HAProxy, slowest of 10, ms", slowest, HARD_DRAIN)])
}

/// A soft one, which goes through hard.
pub(crate) fn soft_drain() -> Result<Vec<Row>> {
    let slowest = drains("bounds_soft", Signal::USR1, &[Level::Soft, Level::Hard])?;
    Ok(vec![row("a soft drain behind HAProxy, slowest of 10, ms", slowest, SOFT_DRAIN)])
}

/// The slowest of some drains, each proven at these levels by HAProxy's own header.
fn drains(test: &str, signal: Signal, levels: &[Level]) -> Result<Duration> {
    let stage = Stage::new(test, CHECKS, |agent| agent.soft(NO_QUIET, "30s").hard_quiet(NO_QUIET));
    let mut slowest = Duration::ZERO;
    for drain in 0..=DRAINS {
        stage.balancer.wait_for_status("s1", "UP", WITHIN);
        stage.agent.wait_until("a balancer that is up", WITHIN, |status| {
            status.balancers.iter().any(|one| one.view.as_deref() == Some("UP"))
        });
        // At any point between two checks, as people ask.
        clock::pause(Duration::from_millis(50 * drain as u64));
        let before = stage.agent.last_ended();
        let asked = clock::unix();
        stage.agent.signal(signal);
        stage.agent.wait_for_success(before, WITHIN);
        // The first waits for the checks with which the agent's start was seen: they were even enough for a balancer's,
        // and are taken for one that has gone.
        if drain > 0 {
            slowest = slowest.max(stage.restart(drain)?.saturating_sub(asked));
        }
        let shown = stage.agent.ctl(&["--json", "history", "show"]);
        let record: Record = serde_json::from_slice(&shown.stdout).context("the drain's report")?;
        for level in levels {
            let proven =
                |how| record.acknowledgements.iter().any(|one| one.level == *level && one.how == how);
            stage.place.check(proven(Standing::Proven), &format!("{level:?} is not proven: {record:#?}"));
        }
    }
    Ok(slowest)
}

fn row(what: &'static str, measured: Duration, bound: f64) -> Row {
    Row { what, measured: measured.as_secs_f64() * 1e3, bound }
}
