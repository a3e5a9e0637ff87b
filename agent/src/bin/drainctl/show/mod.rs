//! What people see of a status.

mod span;
mod table;

use std::fmt::Write;

use drain_agent::control::api::{
    Asked, Drain, Limit, Origin, Outcome, Status, Target, Then, Traffic, Verdict, Wait,
};

pub(crate) use span::{ago, span};
pub(crate) use table::{balancers, sources, table};

/// What an older look has found is not shown as if it were so now.
const OLD_SECONDS: f64 = 2.0;

/// Everything, as `drainctl status` prints it. `now_unix` in seconds since 1970.
pub(crate) fn status(status: &Status, now_unix: u64) -> String {
    let mut out = format!(
        "{} is {} (answers {}) for {}: {}\n",
        status.server,
        status.phase,
        status.answer,
        ago(status.since_unix, now_unix),
        status.reason
    );
    let mut row = |name: &str, text: &str| {
        // Writing to a string can't fail.
        let _written = writeln!(out, "  {name:<13} {text}");
    };
    if let Some(asked) = &status.asked {
        row("asked", &self::asked(asked, now_unix));
    }
    if let Some(limit) = &status.limit {
        row("waits for", &self::limit(limit, status.asked.as_ref().and_then(|asked| asked.then.as_ref())));
    }
    row("acknowledged", &acknowledged(status));
    row("traffic", &traffic(&status.traffic));
    row("ready", &ready(status));
    if let Some(last) = status.drains.last() {
        row("last drain", &drain(last, now_unix));
    }
    let Status { agent, .. } = status;
    row("agent", &format!("{}, pid {}, up {}", agent.version, agent.pid, span(agent.uptime_seconds)));
    for warning in &status.warnings {
        row("warning", warning);
    }
    if !status.traffic.sources.is_empty() {
        out.push('\n');
        out.push_str(&sources(&status.traffic));
        out.push('\n');
    }
    if !status.balancers.is_empty() || !status.absent.is_empty() {
        out.push('\n');
        out.push_str(&balancers(status, now_unix));
    }
    out.truncate(out.trim_end().len());
    out
}

/// "2 of 3", and who is missing.
pub(crate) fn acknowledged(status: &Status) -> String {
    let have = &status.acknowledged;
    let mut text = match have.of {
        0 => "no balancer is known".to_owned(),
        of => format!("{} of {of}", have.count),
    };
    if let Some(awaits) = &have.awaits {
        let _written = write!(text, " ({awaits})");
    } else if let Some(missing) = status.balancers.iter().find(|balancer| !balancer.acknowledged) {
        let who = missing.node.clone().unwrap_or_else(|| missing.source.to_string());
        let _written = write!(text, " ({who}: {})", missing.why);
    }
    text
}

/// What is in flight and how quiet it is.
pub(crate) fn traffic(traffic: &Traffic) -> String {
    let count = |value: Option<u32>| value.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let mut text = format!("{} in flight, {} idle", count(traffic.in_flight), count(traffic.idle));
    if let Some(age) = traffic.age_seconds.filter(|age| *age > OLD_SECONDS) {
        let _written = write!(text, " {} ago", span(age));
    }
    let _written = match (traffic.quiet_seconds, traffic.needed_seconds) {
        (Some(quiet), Some(needed)) => {
            write!(text, ", quiet for {} of {}", span(quiet.min(needed)), span(needed))
        }
        (Some(quiet), None) => write!(text, ", quiet for {}", span(quiet)),
        (None, Some(needed)) => write!(text, ", must be quiet for {}", span(needed)),
        (None, None) => Ok(()),
    };
    // What the sockets hold by is said by the numbers in front.
    for source in traffic.sources.iter().skip(1).filter(|source| source.verdict == Verdict::Holds) {
        if traffic.needed_seconds.is_some() {
            let _written = write!(text, "; {}: {}", source.name, source.why);
        }
    }
    for source in &traffic.unknown {
        let _written = write!(text, "; {source}");
    }
    text
}

/// What is waited for and what happens if it does not come; `then` follows the drain.
fn limit(limit: &Limit, then: Option<&Then>) -> String {
    let what = match limit.waits_for {
        Wait::Restart if matches!(then, Some(Then::Stop)) => "the end of the stop",
        Wait::Restart if matches!(then, Some(Then::Run(_))) => "the end of the command",
        Wait::Acknowledgement => "acknowledgements",
        Wait::Quiet => "the end of traffic",
        Wait::Restart => "the end of the restart",
        Wait::Ready => "readiness",
        Wait::WarmUp => "the warm-up",
        Wait::Time => "the time that was asked for",
    };
    format!("{what}, at most {}, then: {}", span(limit.seconds_left), limit.then)
}

fn asked(asked: &Asked, now_unix: u64) -> String {
    let what = match asked.what {
        Target::Soft => "soft",
        Target::Hard => "hard",
    };
    let then = match (&asked.then, &asked.command) {
        _ if asked.stopped => "stopped".to_owned(),
        (None, _) => "stay there".to_owned(),
        (Some(Then::Hold), Some(command)) => format!("then drainctl runs `{command}`"),
        (Some(then), _) => format!("then {then}"),
    };
    let until =
        asked.until_unix.map(|until| format!(", for {} more", span(until.saturating_sub(now_unix) as f64)));
    let until = until.unwrap_or_default();
    let reason = asked.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let again = if asked.again { "; one more restart follows" } else { "" };
    let ago = ago(asked.since_unix, now_unix);
    format!(
        "{what}, {then}{until}, {ago} ago by {}{reason} (drain {}){again}",
        origin(&asked.origin),
        asked.drain
    )
}

pub(crate) fn origin(origin: &Origin) -> String {
    let number =
        |name: &str, value: Option<String>| value.map(|value| format!(" {name} {value}")).unwrap_or_default();
    match origin {
        Origin::Signal { signal, pid, uid } => {
            let pid = number("pid", pid.map(|pid| pid.to_string()));
            format!("{signal} from{pid}{}", number("uid", uid.map(|uid| uid.to_string())))
        }
        Origin::Control { pid, uid, .. } => {
            format!("drainctl of uid {uid}{}", number("pid", pid.map(|pid| pid.to_string())))
        }
        Origin::Remote { token, from } => format!("drainctl with the token {token} from {from}"),
        Origin::Agent => "the agent itself".to_owned(),
        Origin::Newer(_) => origin.to_string(),
    }
}

fn ready(status: &Status) -> String {
    let answer = match status.readiness.ready {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    match status.readiness.text.as_str() {
        "" => answer.to_owned(),
        text => format!("{answer}: {text}"),
    }
}

fn drain(drain: &Drain, now_unix: u64) -> String {
    let ago = ago(drain.ended_unix, now_unix);
    let outcome = if drain.outcome == Outcome::Done { String::new() } else { format!("{}: ", drain.outcome) };
    let took = drain.restart_seconds.map(|seconds| took(drain, &span(seconds))).unwrap_or_default();
    let users = drain.users_back_seconds.map(|after| format!(", users back {} later", span(after)));
    format!("{}, {ago} ago: {outcome}{}{took}{}", drain.id, drain.text, users.unwrap_or_default())
}

/// How long what followed the drain has taken: of one that has not gone well, without a claim that it was done.
fn took(drain: &Drain, span: &str) -> String {
    match (&drain.then, drain.outcome) {
        (Some(Then::Stop), Outcome::Done) => format!(", stopped in {span}"),
        (Some(Then::Run(name)), Outcome::Done) => format!(", {name} ran for {span}"),
        (_, Outcome::Done) => format!(", restarted in {span}"),
        (Some(Then::Stop), _) => format!("; the stop took {span}"),
        (Some(Then::Run(name)), _) => format!("; {name} ran for {span}"),
        (_, _) => format!("; the restart took {span}"),
    }
}

#[cfg(test)]
mod tests {
    use drain_agent::control::api::Acknowledged;

    use super::*;
    use crate::sample::soft;

    #[test]
    fn a_status_tells_everything_in_a_screen() {
        let expected = "\
shop is soft (answers 404) for 42s: soft drain
  asked         soft, then restart, 42s ago by drainctl of uid 1000 pid 4711: new kernel (drain 7)
  waits for     the end of traffic, at most 4m 10s, then: hard
  acknowledged  1 of 2 (10.0.0.3: was given 1 of 3 answers)
  traffic       3 in flight, 12 idle, must be quiet for 5m
  ready         yes: 200 in 3 ms
  last drain    6, 2m 22s ago: restarted, restarted in 2.3s, users back 1.2s later
  agent         0.1.0, pid 99, up 1h 1m 40s
  warning       lb9 takes 404 for a failure

TRAFFIC                       IN FLIGHT  IDLE  USERS  REQUESTS  LAST      READ      VERDICT
sockets                       3          12    -      -         0.2s ago  0.2s ago  holds: 3 in flight
access_log /var/log/shop.log  -          -     -      4711      15s ago   0.1s ago  quiet for 15s

SOURCE    NODE  NAME    SINCE        LAST      EVERY  ANSWER  VIEW  WEIGHT  SCUR  USERS  ACKNOWLEDGED
10.0.0.2  lb1   shop/a  17m 12s ago  0.2s ago  0.5s   404     NOLB  0/2     3     -      yes: its header says NOLB
10.0.0.3  -     -       17m 12s ago  12s ago   -      200     -     -       -     -      no: was given 1 of 3 answers";
        let shown = status(&soft(), 1042);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_restart_that_has_failed_is_not_called_done() {
        let failed = Drain { outcome: Outcome::Failed, users_back_seconds: None, ..soft().drains[0].clone() };
        let failed = Drain { text: "exit status 1".to_owned(), ..failed };
        assert_eq!(drain(&failed, 942), "6, 42s ago: failed: exit status 1; the restart took 2.3s");
        let stop = Drain { then: Some(Then::Stop), ..failed };
        assert_eq!(drain(&stop, 942), "6, 42s ago: failed: exit status 1; the stop took 2.3s");
    }

    #[test]
    fn a_server_that_is_stopped_is_not_called_held() {
        let stopped = Asked { stopped: true, then: Some(Then::Stop), ..soft().asked.unwrap() };
        assert!(asked(&stopped, 1042).starts_with("soft, stopped, 42s ago by "), "{}", asked(&stopped, 1042));
    }

    #[test]
    fn unknown_traffic_is_not_shown_as_zero() {
        let unknown =
            Traffic { unknown: vec!["sockets: permission denied".to_owned()], ..Traffic::default() };
        assert_eq!(traffic(&unknown), "unknown in flight, unknown idle; sockets: permission denied");
    }

    #[test]
    fn what_holds_beside_the_sockets_is_named() {
        let mut held = soft().traffic;
        held.sources[1].verdict = Verdict::Holds;
        held.sources[1].why = "2 in flight".to_owned();
        let shown = traffic(&held);
        assert!(shown.ends_with("; access_log /var/log/shop.log: 2 in flight"), "{shown}");
        held.needed_seconds = None;
        assert_eq!(traffic(&held), "3 in flight, 12 idle", "while nothing waits");
    }

    #[test]
    fn an_old_look_is_not_shown_as_the_present() {
        let at =
            |age| Traffic { age_seconds: Some(age), in_flight: Some(5), idle: Some(1), ..Traffic::default() };
        assert_eq!(traffic(&at(1.9)), "5 in flight, 1 idle");
        assert_eq!(traffic(&at(8.0)), "5 in flight, 1 idle 8s ago");
    }

    #[test]
    fn nobody_is_not_everybody() {
        let alone = Status { acknowledged: Acknowledged::default(), balancers: Vec::new(), ..soft() };
        assert_eq!(acknowledged(&alone), "no balancer is known");
    }
}
