//! The page that is asked for.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use super::Counters;
use crate::{clock::Moment, control::api::Status, lifecycle::Phase};

/// What stands before each name.
const PREFIX: &str = "drain_agent";

const PHASES: [Phase; 7] =
    [Phase::Up, Phase::Soft, Phase::Hard, Phase::Restarting, Phase::Warming, Phase::Failed, Phase::Down];

type Number = Gauge<f64, AtomicU64>;

/// How the page is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' own text, 0.0.4.
    Plain,
}

impl Form {
    /// What `accept`, the header of that name, asks for.
    pub fn asked(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All numbers as they are `now`, of an agent that began at `started_unix`.
pub fn page(counters: &Counters, status: &Status, started_unix: u64, now: Moment, form: Form) -> String {
    counters.keep_time(now);
    let mut registry = Registry::with_prefix(PREFIX);
    counters.register(&mut registry);
    standing(&mut registry, status, started_unix);
    let mut text = String::new();
    // Writing to a string can't fail, and nothing that is registered does.
    let _written = encode(&mut text, &registry);
    match form {
        Form::OpenMetrics => text,
        Form::Plain => plain(&text),
    }
}

/// What stands at the moment.
fn standing(registry: &mut Registry, status: &Status, started_unix: u64) {
    let phases = Family::<[(&'static str, String); 1], Gauge>::default();
    for phase in PHASES {
        let is_it = i64::from(phase == status.phase);
        phases.get_or_create(&[("phase", phase.to_string())]).set(is_it);
    }
    registry.register("phase", "Where the server stands: 1 for the present phase, 0 for all others", phases);
    let mut number = |name: &str, help: &str, value: f64| {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let traffic = &status.traffic;
    let users = traffic.sources.iter().find_map(|source| source.users);
    for (name, help, value) in [
        ("requests_in_flight", "Requests whose response is not finished", traffic.in_flight),
        ("connections_idle", "Open connections without a request in flight", traffic.idle),
        ("users", "Users whose cookie names this server, as the balancers say", users),
    ] {
        if let Some(value) = value {
            number(name, help, value.into());
        }
    }
    let draining = if status.asked.is_some() { 1.0 } else { 0.0 };
    number("draining", "Whether a drain is under way", draining);
    if let Some(ready) = status.readiness.ready {
        number(
            "server_ready",
            "Whether the server passes its readiness probe",
            if ready { 1.0 } else { 0.0 },
        );
    }
    number("balancers", "Balancers that are known or expected", status.acknowledged.of.into());
    number(
        "balancers_absent",
        "Balancers that are expected and have never asked",
        status.absent.len() as f64,
    );
    number(
        "balancers_acknowledged",
        "Balancers that act on the present answer",
        status.acknowledged.count.into(),
    );
    let ages = Family::<[(&'static str, String); 1], Number>::default();
    let readable = Family::<[(&'static str, String); 1], Gauge>::default();
    for source in &traffic.sources {
        let label = [("source", source.name.clone())];
        if let Some(age) = source.age_seconds {
            ages.get_or_create(&label).set(age);
        }
        let unknown = source.verdict == crate::control::api::Verdict::Unknown;
        readable.get_or_create(&label).set(i64::from(!unknown));
    }
    registry.register_with_unit(
        "source_age",
        "How long ago a source of traffic was read",
        Unit::Seconds,
        ages,
    );
    registry.register("source_readable", "Whether a source of traffic can be read", readable);
    let start = Number::default();
    start.set(started_unix as f64);
    registry.register_with_unit(
        "start_time",
        "When the agent began, in seconds since 1970",
        Unit::Seconds,
        start,
    );
    let labels = vec![("version", status.agent.version.clone()), ("server", status.server.clone())];
    registry.register("build", "The agent and its server", Info::new(labels));
}

/// The same in the older text: counters and infos are called there as their samples are, and there are no units and
/// no end.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let types = || text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let Some((word @ ("HELP" | "TYPE"), rest)) = comment.split_once(' ') else { continue };
        let Some((name, rest)) = rest.split_once(' ') else { continue };
        let kind = types().find(|(of, _)| *of == name).map_or("untyped", |(_, kind)| kind);
        let (ending, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            kind => ("", kind),
        };
        let rest = if word == "TYPE" { kind } else { rest };
        out.push_str(&format!("# {word} {name}{ending} {rest}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::{
        balancers::Standing,
        control::api::{Source, Traffic, Verdict},
        lifecycle::{Level, Outcome, Then},
        metrics::Failed,
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    fn counters() -> Counters {
        let counters = Counters::default();
        counters.shows(Phase::Up, at(10));
        counters.shows(Phase::Soft, at(15));
        counters.answered([10, 0, 0, 2].into(), 200);
        counters.answered([10, 0, 0, 2].into(), 404);
        counters.acknowledged(Level::Soft, Standing::Proven);
        counters.ended(Outcome::Done);
        counters.tried(&Then::Restart, true);
        counters.tried(&Then::Stop, true);
        counters.tried(&Then::Run("upgrade".into()), false);
        counters.cut(3);
        counters.failed(Failed::Probe);
        counters
    }

    fn status() -> Status {
        let source = Source {
            name: "gauge \"x\"\\".into(),
            in_flight: None,
            idle: None,
            users: None,
            requests: None,
            last_seconds: None,
            age_seconds: Some(0.25),
            quiet_seconds: None,
            verdict: Verdict::Unknown,
            why: "refused".into(),
        };
        let text = r#"{"server":"shop","phase":"soft","answer":404,"reason":"asked","since_unix":1,"generation":2,
            "asked":null,"limit":null,"acknowledged":{"count":1,"of":2,"complete":false},"balancers":[],"absent":["lb2"],
            "traffic":{"in_flight":null,"idle":null,"quiet_seconds":null,"needed_seconds":null,"unknown":[]},
            "readiness":{"ready":true,"text":"ready"},"drains":[],"warnings":[],
            "agent":{"pid":1,"version":"0.1.0","uptime_seconds":5.0}}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        let traffic = Traffic { sources: vec![source], ..status.traffic };
        Status { traffic, ..status }
    }

    fn text(status: &Status, form: Form) -> String {
        page(&counters(), status, 1_700_000_000, at(17), form)
    }

    #[test]
    fn every_number_is_on_the_page() {
        let text = text(&status(), Form::OpenMetrics);
        for line in [
            "drain_agent_phase{phase=\"soft\"} 1",
            "drain_agent_phase{phase=\"up\"} 0",
            "drain_agent_answers_total{code=\"404\",balancer=\"10.0.0.2\"} 1",
            "drain_agent_acknowledgements_total{level=\"soft\",how=\"proven\"} 1",
            "drain_agent_drains_total{outcome=\"done\"} 1",
            "drain_agent_phase_seconds_total{phase=\"up\"} 5.0",
            "drain_agent_phase_seconds_total{phase=\"soft\"} 2.0",
            "drain_agent_cut_requests_total 3",
            "drain_agent_restarts_total{result=\"done\"} 1",
            "drain_agent_failures_total{what=\"readiness_probe\"} 1",
            "drain_agent_balancers 2.0",
            "drain_agent_balancers_absent 1.0",
            "drain_agent_source_readable{source=\"gauge \\\"x\\\"\\\\\"} 0",
            "drain_agent_start_time_seconds 1700000000.0",
            "drain_agent_build_info{version=\"0.1.0\",server=\"shop\"} 1",
            "# UNIT drain_agent_source_age_seconds seconds",
        ] {
            assert!(text.lines().any(|own| own == line), "{line:?} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_unknown_has_no_sample() {
        assert!(!text(&status(), Form::OpenMetrics).contains("requests_in_flight"));
        let known = Traffic { in_flight: Some(0), ..status().traffic };
        let known = Status { traffic: known, ..status() };
        assert!(text(&known, Form::OpenMetrics).contains("\ndrain_agent_requests_in_flight 0.0\n"));
    }

    /// What both texts ask of a page: each family stands together, with one help and one type, before its samples.
    #[track_caller]
    fn strictly(text: &str, plain: bool) {
        let (mut family, mut seen) = (String::new(), BTreeSet::new());
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap().to_owned();
                assert!(seen.insert(family.clone()), "{family} twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family);
                let kinds: &[&str] =
                    if plain { &["counter", "gauge"] } else { &["counter", "gauge", "info"] };
                assert!(kinds.contains(&kind), "{line}");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(name == family && name.ends_with(unit) && !plain, "{line}");
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                let rest = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} under {family}"));
                let endings: &[&str] = if plain { &[""] } else { &["", "_total", "_info"] };
                assert!(endings.contains(&rest), "{line}");
                line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
            }
        }
    }

    #[test]
    fn both_forms_are_well_formed() {
        strictly(&text(&status(), Form::OpenMetrics), false);
        let plain = text(&status(), Form::Plain);
        strictly(&plain, true);
        assert!(plain.contains("# TYPE drain_agent_drains_total counter\n"), "{plain}");
        assert!(!plain.contains("EOF"));
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(Form::asked(prometheus), Form::OpenMetrics);
        assert_eq!(Form::asked("*/*"), Form::Plain);
    }

    #[test]
    fn a_flood_of_sources_makes_no_flood_of_labels() {
        let counters = counters();
        for n in 0..10_000u32 {
            counters.answered(std::net::Ipv4Addr::from(n).into(), 200);
        }
        let text = page(&counters, &status(), 0, at(17), Form::OpenMetrics);
        assert!(text.lines().filter(|line| line.starts_with("drain_agent_answers")).count() < 80);
        assert!(text.contains("balancer=\"other\""));
    }
}
