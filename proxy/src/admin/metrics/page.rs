//! The page that is asked for. Pure.

use super::{
    own::Own,
    scope::Scope,
    table::{PROCESS, ROWS},
};
use crate::admin::stats::{Field, Info, InfoField, Kind, Row, Snapshot, Value};

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

/// All numbers that are wanted.
pub fn page(snapshot: &Snapshot, own: &Own, form: Form, scope: Scope) -> String {
    let mut page = Page { form, families: Vec::new() };
    if scope.process {
        page.of_process(&snapshot.info);
    }
    for kind in [Kind::Frontend, Kind::Backend, Kind::Server] {
        let is_wanted = |row: &&Row| row.kind == kind && scope.wants(row);
        let rows: Vec<&Row> = snapshot.rows.iter().filter(is_wanted).collect();
        page.of_kind(kind, &rows);
    }
    page.aggregate(&snapshot.rows, scope);
    own.write(&mut page, snapshot, scope);
    page.end()
}

/// A page under way.
pub(super) struct Page {
    form: Form,
    families: Vec<Family>,
}

/// One metric, with all its samples.
struct Family {
    name: String,
    help: String,
    samples: String,
}

/// The word of a kind in names.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Frontend => "frontend",
        Kind::Backend => "backend",
        Kind::Server => "server",
    }
}

/// The labels of a row.
fn labels(row: &Row) -> Vec<(&'static str, &str)> {
    let mut labels = vec![("proxy", row.text(Field::Pxname))];
    if row.kind == Kind::Server {
        labels.push(("server", row.text(Field::Svname)));
    }
    labels
}

const RESPONSES: [(&str, Field); 6] = [
    ("1xx", Field::Hrsp1xx),
    ("2xx", Field::Hrsp2xx),
    ("3xx", Field::Hrsp3xx),
    ("4xx", Field::Hrsp4xx),
    ("5xx", Field::Hrsp5xx),
    ("other", Field::HrspOther),
];

const PROXY_STATES: &[&str] = &["DOWN", "UP"];
const SERVER_STATES: &[&str] = &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
const CHECK_STATES: &[&str] = &[
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK",
    "L7OKC", "L7STS",
];

/// The label of HAProxy's that stands for a status.
pub(super) fn state(status: &str) -> &'static str {
    match status.split(' ').next().unwrap_or_default() {
        "DOWN" | "STOP" => "DOWN",
        "MAINT" => "MAINT",
        "DRAIN" => "DRAIN",
        "NOLB" => "NOLB",
        _ => "UP",
    }
}

impl Page {
    fn of_process(&mut self, info: &Info) {
        for metric in PROCESS {
            let value = info.value(metric.field).and_then(|value| number(value, metric.is_milliseconds));
            self.family(&format!("haproxy_process_{}", metric.name), metric.field.description());
            if let Some(value) = value {
                self.sample(&[], &value);
            }
        }
        if let Some(version) = info.value(InfoField::Version) {
            self.family("haproxy_process_build_info", "Build info");
            self.sample(&[("version", &version.to_string())], "1");
        }
    }

    fn of_kind(&mut self, kind: Kind, rows: &[&Row]) {
        let word = word(kind);
        let of_kind = ROWS.iter().filter(|(kinds, _)| kinds.contains(&kind));
        for metric in of_kind.flat_map(|(_, metrics)| *metrics) {
            self.family(&format!("haproxy_{word}_{}", metric.name), metric.field.description());
            for row in rows {
                let value = row.value(metric.field).and_then(|value| number(value, metric.is_milliseconds));
                if let Some(value) = value {
                    self.sample(&labels(row), &value);
                }
            }
        }
        self.family(
            &format!("haproxy_{word}_http_responses_total"),
            "Total number of HTTP responses by their class since the worker process started",
        );
        for (code, field) in RESPONSES {
            for row in rows {
                let mut labels = labels(row);
                labels.push(("code", code));
                self.sample(&labels, &row.number(field).to_string());
            }
        }
        let states = if kind == Kind::Server { SERVER_STATES } else { PROXY_STATES };
        self.one_of(
            &format!("haproxy_{word}_status"),
            "Current status of the service, per state label value.",
            states,
            rows.iter().map(|row| (labels(row), state(row.text(Field::Status)))),
        );
        if kind == Kind::Server {
            self.one_of(
                "haproxy_server_check_status",
                "Status of last health check, per state label value.",
                CHECK_STATES,
                rows.iter().filter_map(|row| {
                    let status = row.text(Field::CheckStatus).trim_start_matches("* ");
                    (!status.is_empty()).then(|| (labels(row), status))
                }),
            );
        }
    }

    /// One sample for each state that there is: 1 for the one that is.
    pub(super) fn one_of<'r>(
        &mut self,
        name: &str,
        help: &str,
        states: &[&str],
        of: impl Iterator<Item = (Vec<(&'static str, &'r str)>, &'r str)>,
    ) {
        self.family(name, help);
        for (labels, is) in of {
            for state in states {
                let mut labels = labels.clone();
                labels.push(("state", *state));
                self.sample(&labels, if *state == is { "1" } else { "0" });
            }
        }
    }

    /// How many servers of each backend are in which state.
    fn aggregate(&mut self, rows: &[Row], scope: Scope) {
        self.family("haproxy_backend_agg_server_status", "Backend's aggregated gauge of servers' status");
        for backend in rows.iter().filter(|row| row.kind == Kind::Backend && scope.wants(row)) {
            for wanted in SERVER_STATES {
                let is = |row: &&Row| {
                    row.kind == Kind::Server
                        && row.proxy == backend.proxy
                        && state(row.text(Field::Status)) == *wanted
                };
                let mut labels = labels(backend);
                labels.push(("state", *wanted));
                self.sample(&labels, &rows.iter().filter(is).count().to_string());
            }
        }
    }

    /// Begins a metric; one whose name ends in `_total` is a counter.
    pub(super) fn family(&mut self, name: &str, help: &str) {
        let (name, help) = (name.to_owned(), escaped(help, false));
        self.families.push(Family { name, help, samples: String::new() });
    }

    /// One sample of the metric that was begun last.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: &str) {
        let Some(Family { name, samples, .. }) = self.families.last_mut() else { return };
        samples.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            samples.push_str(&format!("{before}{label}=\"{}\"", escaped(text, true)));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        samples.push_str(&format!("{after} {value}\n"));
    }

    /// The whole text; metrics without samples are left out.
    fn end(self) -> String {
        let mut text = String::new();
        for Family { name, help, samples } in self.families.iter().filter(|family| !family.samples.is_empty())
        {
            let counter = name.strip_suffix("_total");
            let kind = if counter.is_some() { "counter" } else { "gauge" };
            // `OpenMetrics` calls the family of a counter without its ending.
            let family = if self.form == Form::OpenMetrics { counter.unwrap_or(name) } else { name };
            text.push_str(&format!("# HELP {family} {help}\n# TYPE {family} {kind}\n{samples}"));
        }
        if self.form == Form::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// As the text has it: whole numbers as they are, milliseconds as seconds.
fn number(value: &Value, is_milliseconds: bool) -> Option<String> {
    let number = value.number()?;
    Some(if is_milliseconds { format!("{:?}", number as f64 / 1000.0) } else { number.to_string() })
}

/// For a label, or for a help text.
fn escaped(text: &str, is_label: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_label { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::http::Standing;

    fn snapshot() -> Snapshot {
        let row = |kind, id, name: &str, status: &str| {
            let mut row = Row::new(kind, 2, id);
            row.set(Field::Pxname, "shop");
            row.set(Field::Svname, name);
            row.set(Field::Status, status);
            row.set(Field::Stot, 7_u64);
            row.set(Field::Hrsp2xx, 6_u64);
            row
        };
        let mut server = row(Kind::Server, 1, "a \"1\"\\", "NOLB 1/3");
        server.set(Field::Rtime, 1500_u32);
        server.set(Field::CheckStatus, "* L7OKC");
        server.beyond.drain = Some("soft; reason=\"deploy\"; since=1700000000".to_owned());
        server.beyond.users = 3;
        let rows = vec![
            row(Kind::Frontend, 0, "FRONTEND", "OPEN"),
            server,
            row(Kind::Server, 2, "b", "UP"),
            row(Kind::Backend, 0, "BACKEND", "UP"),
        ];
        Snapshot { info: Info::default(), rows }
    }

    fn own() -> Own {
        Own { standing: Standing::Soft, descriptors: Some(17), ..Own::default() }
    }

    #[test]
    fn what_means_the_same_has_haproxys_name_and_unit() {
        let text = page(&snapshot(), &own(), Form::Plain, Scope::default());
        for line in [
            "# TYPE haproxy_frontend_sessions_total counter",
            "haproxy_frontend_sessions_total{proxy=\"shop\"} 7",
            "haproxy_frontend_status{proxy=\"shop\",state=\"UP\"} 1",
            "haproxy_backend_http_responses_total{proxy=\"shop\",code=\"2xx\"} 6",
            "haproxy_server_response_time_average_seconds{proxy=\"shop\",server=\"a \\\"1\\\"\\\\\"} 1.5",
            "haproxy_server_status{proxy=\"shop\",server=\"b\",state=\"UP\"} 1",
            "haproxy_server_status{proxy=\"shop\",server=\"b\",state=\"NOLB\"} 0",
            "haproxy_backend_agg_server_status{proxy=\"shop\",state=\"NOLB\"} 1",
            "drain_proxy_process_open_descriptors 17",
            "drain_proxy_standing{state=\"soft\"} 1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line:?} in\n{text}");
        }
        assert!(!text.contains("haproxy_server_limit_sessions"), "what has no limit has no sample");
        assert!(!text.contains("NaN") && !text.contains("# EOF"));
    }

    #[test]
    fn open_metrics_calls_counters_without_their_ending() {
        let text = page(&snapshot(), &own(), Form::OpenMetrics, Scope::default());
        assert!(text.contains("# TYPE haproxy_server_sessions counter\nhaproxy_server_sessions_total{"));
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(
            Form::asked("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
            Form::OpenMetrics
        );
        assert_eq!(Form::asked("*/*"), Form::Plain);
    }

    #[test]
    fn only_what_is_wanted_is_told() {
        let scoped = |query: &str| page(&snapshot(), &own(), Form::Plain, Scope::asked(query).unwrap());
        let backends = scoped("scope=backend");
        assert!(backends.contains("haproxy_backend_agg_server_status{proxy=\"shop\",state=\"NOLB\"} 1\n"));
        for other in [
            "haproxy_server_",
            "haproxy_frontend_",
            "haproxy_process_",
            "drain_proxy_standing",
            "drain_proxy_server_",
        ] {
            assert!(!backends.contains(other), "{other} in\n{backends}");
        }
        assert_eq!(scoped("scope=listener"), "");
    }

    #[test]
    fn every_metric_stands_once() {
        let text = page(&snapshot(), &own(), Form::Plain, Scope::default());
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
