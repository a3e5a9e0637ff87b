//! The drains that were, as people read them.

use std::{fmt::Write, net::IpAddr};

use drain_agent::{
    balancers::Standing,
    control::api::{Record, Target, Then},
    lifecycle::{Level, Stage},
    report::{Acknowledgement, Cut, LeftOpen, Step, Try},
};
use jiff::Timestamp;

use crate::{
    curve::{self, Paper},
    show::{self, span},
};

/// Where there is none.
pub(crate) const NONE: &str = "there is no history yet: nothing was drained since the agent writes it";

/// How much of a reason a table shows: the whole stands in `history show`.
const REASON_CHARS: usize = 40;

/// A line for each, as `drainctl history` prints it.
pub(crate) fn table(records: &[Record], now_unix: u64) -> String {
    if records.is_empty() {
        return NONE.to_owned();
    }
    let head = ["DRAIN", "ASKED", "AGO", "WHAT", "ENDED", "TOOK", "COMMAND", "CUT", "REASON"];
    let mut rows = vec![head.map(str::to_owned)];
    for record in records {
        let none = || "-".to_owned();
        let took = record.restarts.last().map_or_else(none, |last| span(last.seconds));
        let reason = record.reason.as_deref().map_or_else(none, |reason| clip(reason, REASON_CHARS));
        rows.push([
            record.drain.to_string(),
            time(record.asked_unix),
            show::ago(record.asked_unix, now_unix),
            what(record),
            outcome(record),
            record.ended_at.map_or_else(none, span),
            took,
            record.cut.as_ref().map_or_else(none, how_many),
            reason,
        ]);
    }
    show::table(&rows)
}

/// One, as `drainctl history show` prints it.
pub(crate) fn whole(record: &Record, paper: Paper) -> String {
    let mut out = format!("drain {} of {}: {}", record.drain, record.server, outcome(record));
    if !record.text.is_empty() {
        let _written = write!(out, ": {}", record.text);
    }
    out.push('\n');
    let mut row = |name: &str, text: &str| {
        // Writing to a string can't fail.
        let _written = writeln!(out, "  {name:<11} {}", text.trim_end().replace('\n', "\n              "));
    };
    let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    row("asked", &format!("{} by {}{reason}", time(record.asked_unix), show::origin(&record.origin)));
    row("what", &what(record));
    for (at, text) in course(record) {
        row(&format!("+{}", span(at)), &text);
    }
    if let Some(cut) = &record.cut {
        row("cut", &self::cut(cut));
    }
    if let Some(open) = &record.left_open {
        row("left open", &left_open(open));
    }
    for one in &record.restarts {
        row(called(record), &restart(one));
    }
    if let Some(at) = record.users_back_at {
        row("users back", &format!("+{}, {} after the end", span(at), since_end(record, at)));
    }
    if record.agent_restarts > 0 {
        let times =
            if record.agent_restarts == 1 { "once" } else { &format!("{} times", record.agent_restarts) };
        row("agent", &format!("restarted {times} meanwhile"));
    }
    out.push_str(&curve::curves(record, paper));
    out.truncate(out.trim_end().len());
    out
}

fn what(record: &Record) -> String {
    let what = match record.what {
        Target::Soft => "soft",
        Target::Hard => "hard",
    };
    match (&record.then, &record.command) {
        (None, _) => what.to_owned(),
        (Some(Then::Hold), Some(command)) => format!("{what}, `{}`", clip(command, REASON_CHARS)),
        (Some(then), _) => format!("{what}, {then}"),
    }
}

/// What has been tried, in front of how that went.
fn called(record: &Record) -> &'static str {
    match &record.then {
        Some(Then::Stop) => "stop",
        Some(Then::Run(_)) => "command",
        Some(Then::Hold) if record.command.is_some() => "command",
        _ => "restart",
    }
}

fn outcome(record: &Record) -> String {
    match record.outcome {
        Some(outcome) => outcome.to_string(),
        None if record.is_stopped() => "stopped".to_owned(),
        None => "under way".to_owned(),
    }
}

/// Steps and acknowledgements in the order in which they came.
fn course(record: &Record) -> Vec<(f64, String)> {
    let steps = record.steps.iter().map(|Step { at, from, to, why }| (*at, format!("{from} -> {to}: {why}")));
    let acknowledged = record.acknowledgements.iter().map(|one| (one.at, acknowledgement(one)));
    let mut course: Vec<_> = steps.chain(acknowledged).collect();
    course.sort_by(|a, b| a.0.total_cmp(&b.0));
    course
}

fn acknowledgement(one: &Acknowledgement) -> String {
    let name = one.name.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
    let who = match &one.node {
        Some(node) => format!("{node} ({name}{})", one.source),
        None => format!("{name}{}", one.source),
    };
    let level = match one.level {
        Level::Soft => "soft",
        Level::Hard => "hard",
    };
    let how = match one.how {
        Standing::Proven => "its header says so",
        Standing::TookForFailure => "takes it for a failure, and has moved the users",
        Standing::Answered => "was answered often enough, and sends no header",
        Standing::Gone => "does not ask any more",
        Standing::Unproven => "unproven: its header says otherwise",
        Standing::Pending => "not yet",
    };
    format!("{who} acknowledges {level}: {how}")
}

/// How many requests were cut, in a table.
fn how_many(cut: &Cut) -> String {
    match (cut.in_flight, &cut.unknown) {
        (Some(count), None) => count.to_string(),
        (Some(count @ 1..), Some(_)) => format!("{count}+"),
        // Older agents have written zero for what was not known.
        (Some(0), Some(_)) | (None, _) => "?".to_owned(),
    }
}

fn cut(cut: &Cut) -> String {
    let mut held = cut.held_by.clone();
    if let (Some(1..), true) = (cut.in_flight, held.is_empty()) {
        held.push(format!("{} in flight", how_many(cut)));
    }
    if let (Some(sockets), false) = (held.first_mut(), cut.peers.is_empty()) {
        let peers = cut.peers.iter().map(|peer| (peer.in_flight, peer.address));
        let _written = write!(sockets, ": {}", peers_of(peers));
    }
    held.extend(cut.unknown.as_ref().map(|why| format!("unknown: {why}")));
    if held.is_empty() { "nothing was in flight".to_owned() } else { held.join("; ") }
}

fn left_open(open: &LeftOpen) -> String {
    let peers = peers_of(open.peers.iter().map(|peer| (peer.idle, peer.address)));
    if peers.is_empty() { open.to_string() } else { format!("{open}; {peers}") }
}

fn peers_of(peers: impl Iterator<Item = (u32, IpAddr)>) -> String {
    let peers: Vec<String> = peers.map(|(count, address)| format!("{count} of {address}")).collect();
    peers.join(", ")
}

fn restart(one: &Try) -> String {
    let mut text = format!("took {}", span(one.seconds));
    if let Some(why) = &one.failure {
        let _written = write!(text, ", failed: {why}");
    }
    // A failure's text ends in what was said already.
    if let Some(output) = one.output.as_ref().filter(|output| !text.contains(output.as_str())) {
        let _written = write!(text, "; it said:\n{output}");
    }
    text
}

fn since_end(record: &Record, at: f64) -> String {
    span((at - record.ended_at.unwrap_or(at)).max(0.0))
}

/// A time of the wall clock, to the second.
fn time(unix: u64) -> String {
    let time = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    time.map_or_else(|| unix.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn clip(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

/// The letter of a stage under a curve.
pub(crate) const fn letter(stage: Stage) -> char {
    match stage {
        Stage::Up => 'u',
        Stage::Waiting => '-',
        Stage::Soft => 's',
        Stage::Hard => 'h',
        Stage::Restarting => 'r',
        Stage::Warming => 'w',
        Stage::Failed => 'f',
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use drain_agent::{
        control::api::{Origin, Outcome},
        report::{Peer, Sample},
    };

    use super::*;

    pub(crate) fn record() -> Record {
        let step = |at, from, to, why: &str| Step { at, from, to, why: why.to_owned() };
        let sample = |at, in_flight| Sample {
            at,
            in_flight: Some(in_flight),
            idle: Some(2),
            users: Some(in_flight * 2),
        };
        Record {
            drain: 7,
            server: "web1".to_owned(),
            asked_unix: 1_763_853_005,
            what: Target::Soft,
            then: Some(Then::Restart),
            origin: Origin::Control { pid: Some(6601), uid: 0, gid: 0 },
            reason: Some("new release".to_owned()),
            outcome: Some(Outcome::Done),
            text: "the server is back".to_owned(),
            ended_at: Some(20.0),
            steps: vec![
                step(0.0, Stage::Up, Stage::Soft, "asked: new release"),
                step(8.0, Stage::Soft, Stage::Hard, "acknowledged and quiet"),
                step(16.0, Stage::Hard, Stage::Restarting, "the limit of 8s has passed: 3 in flight"),
                step(18.0, Stage::Restarting, Stage::Warming, "restarted"),
                step(20.0, Stage::Warming, Stage::Up, "ready"),
            ],
            acknowledgements: vec![Acknowledgement {
                at: 0.6,
                level: Level::Soft,
                source: [10, 0, 0, 2].into(),
                node: Some("lb1".to_owned()),
                name: Some("shop/web1".to_owned()),
                how: Standing::Proven,
            }],
            traffic: vec![sample(0.1, 8), sample(4.0, 6), sample(10.0, 4), sample(16.0, 3), sample(17.0, 0)],
            cut: Some(Cut {
                at: 16.0,
                in_flight: Some(3),
                peers: vec![Peer { address: [10, 0, 0, 9].into(), in_flight: 3, idle: 1 }],
                held_by: vec!["3 in flight".to_owned()],
                unknown: None,
            }),
            left_open: Some(LeftOpen {
                answered: 4,
                fresh: 1,
                untold: 0,
                long_lived: "quiet".to_owned(),
                peers: vec![Peer { address: [10, 0, 0, 9].into(), in_flight: 3, idle: 5 }],
            }),
            restarts: vec![Try { at: 16.0, seconds: 1.9, failure: None, output: Some("done".to_owned()) }],
            ready_at: Some(20.0),
            users_back_at: Some(21.2),
            agent_restarts: 1,
            command: None,
        }
    }

    #[test]
    fn what_drainctl_has_run_is_told_with_how_it_ended() {
        let failed = Try { at: 16.0, seconds: 1.9, failure: Some("exit status: 3".into()), output: None };
        let then = Some(Then::Hold);
        let command = Some("apt-get -y upgrade".to_owned());
        let ran = Record { then, command, restarts: vec![failed], ..record() };
        let shown = whole(&ran, Paper::plain());
        assert!(shown.contains("  what        soft, `apt-get -y upgrade`\n"), "{shown}");
        assert!(shown.contains("  command     took 1.9s, failed: exit status: 3\n"), "{shown}");
    }

    #[test]
    fn a_server_that_is_stopped_is_called_so() {
        let stopped = Step { at: 18.0, from: Stage::Restarting, to: Stage::Hard, why: "stopped".into() };
        let then = Some(Then::Stop);
        let record = Record { then, outcome: None, ended_at: None, steps: vec![stopped], ..record() };
        let shown = table(std::slice::from_ref(&record), 1_763_853_065);
        assert!(shown.contains("soft, stop  stopped  "), "{shown}");
    }

    #[test]
    fn a_drain_is_told_from_its_request_to_the_return_of_the_users() {
        let shown = whole(&record(), Paper::plain());
        let expected = "\
drain 7 of web1: done: the server is back
  asked       2025-11-22 23:10:05Z by drainctl of uid 0 pid 6601: new release
  what        soft, restart
  +0s         up -> soft: asked: new release
  +0.6s       lb1 (shop/web1, 10.0.0.2) acknowledges soft: its header says so
  +8s         soft -> hard: acknowledged and quiet
  +16s        hard -> restarting: the limit of 8s has passed: 3 in flight
  +18s        restarting -> warming: restarted
  +20s        warming -> up: ready
  cut         3 in flight: 3 of 10.0.0.9
  left open   5 open, not waited for by drain.long_lived = \"quiet\": 4 answered, 1 never asked anything; 5 of 10.0.0.9
  restart     took 1.9s; it said:
              done
  users back  +21s, 1.2s after the end
  agent       restarted once meanwhile
";
        assert!(shown.starts_with(expected), "\n{shown}");
    }

    #[test]
    fn a_table_has_a_line_for_each() {
        let under_way = Record { outcome: None, ended_at: None, drain: 8, reason: None, ..record() };
        let shown = table(&[record(), under_way], 1_763_853_065);
        let expected = "\
DRAIN  ASKED                 AGO  WHAT           ENDED      TOOK  COMMAND  CUT  REASON
7      2025-11-22 23:10:05Z  1m   soft, restart  done       20s   1.9s     3    new release
8      2025-11-22 23:10:05Z  1m   soft, restart  under way  -     1.9s     3    -";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn what_was_cut_is_told_as_far_as_it_is_known_and_unknown_is_never_nothing() {
        let shown = |in_flight, held_by: &[&str], unknown: Option<&str>| {
            let held_by = held_by.iter().map(|what| (*what).to_owned()).collect();
            let one =
                Cut { at: 1.0, in_flight, peers: Vec::new(), held_by, unknown: unknown.map(Into::into) };
            (how_many(&one), cut(&one))
        };
        let told = |many: &str, text: &str| (many.to_owned(), text.to_owned());
        assert_eq!(shown(Some(0), &[], None), told("0", "nothing was in flight"));
        assert_eq!(shown(None, &[], Some("sockets: denied")), told("?", "unknown: sockets: denied"));
        let both = shown(Some(2), &["balancers report 2 in flight"], Some("gauge g: refused"));
        assert_eq!(both, told("2+", "balancers report 2 in flight; unknown: gauge g: refused"));
    }

    #[test]
    fn a_record_of_an_older_agent_tells_what_it_knows() {
        let peer = Peer { address: [10, 0, 0, 9].into(), in_flight: 2, idle: 0 };
        let older = Cut { at: 1.0, in_flight: Some(2), peers: vec![peer], ..Cut::default() };
        assert_eq!(cut(&older), "2 in flight: 2 of 10.0.0.9");
        let unknown = Cut { at: 1.0, in_flight: Some(0), unknown: Some("late".into()), ..Cut::default() };
        assert_eq!(how_many(&unknown), "?");
    }

    #[test]
    fn an_empty_history_is_said_clearly() {
        assert_eq!(table(&[], 5), NONE);
    }

    #[test]
    fn a_long_reason_is_clipped_in_the_table_only() {
        let long = Record { reason: Some("é".repeat(50)), ..record() };
        assert!(table(std::slice::from_ref(&long), 0).ends_with(&format!("{}…", "é".repeat(39))));
        assert!(whole(&long, Paper::plain()).contains(&"é".repeat(50)));
    }
}
