//! What HAProxy has no name for: `drain_proxy_…`.

use super::{page::Page, scope::Scope};
use crate::admin::{
    http::Standing,
    stats::{Field, Kind, Row, Snapshot},
    usage,
};

/// What is not in the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// What balancers above are told.
    pub standing: Standing,
    /// Files that are open; `None`: nobody knows.
    pub descriptors: Option<u64>,
    /// Files that may be open; `None`: any number.
    pub most_descriptors: Option<u64>,
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// How often a kept file could not be written.
    pub unwritten: u64,
}

impl Default for Own {
    fn default() -> Self {
        let (descriptors, most_descriptors, resident_bytes) = (None, None, None);
        Self { standing: Standing::Up, descriptors, most_descriptors, resident_bytes, unwritten: 0 }
    }
}

/// Phases in which a server says that it goes on purpose.
const PHASES: &[&str] = &["soft", "hard", "restarting", "warming"];

type Number = fn(&Row) -> u64;

/// Of each backend.
const OF_BACKENDS: [(&str, &str, Number); 4] = [
    ("users", "Distinct users within the users window", |row| row.beyond.users),
    ("replays_total", "Requests that were sent again after a server had had some of them", |row| {
        row.beyond.replays
    }),
    ("resumes_total", "Responses that broke off and were continued by another server", |row| {
        row.beyond.resumes
    }),
    ("requests_elsewhere", "Requests in flight in an earlier process that finishes what it has", |row| {
        row.beyond.elsewhere.into()
    }),
];

impl Own {
    /// As it is now.
    pub fn now(standing: Standing, unwritten: u64) -> Self {
        Self {
            standing,
            descriptors: usage::descriptors(),
            most_descriptors: usage::most_descriptors(),
            resident_bytes: usage::resident_bytes(),
            unwritten,
        }
    }

    pub(super) fn write(&self, page: &mut Page, snapshot: &Snapshot, scope: Scope) {
        if scope.process {
            self.write_process(page);
        }
        let of = |kind| snapshot.rows.iter().filter(move |row| row.kind == kind && scope.wants(row));
        for (name, help, number) in OF_BACKENDS {
            page.family(&format!("drain_proxy_backend_{name}"), help);
            for row in of(Kind::Backend) {
                page.sample(&[("proxy", row.text(Field::Pxname))], &number(row).to_string());
            }
        }
        of_servers(page, &of(Kind::Server).collect::<Vec<_>>());
    }

    fn write_process(&self, page: &mut Page) {
        page.family("drain_proxy_build_info", "The proxy");
        page.sample(&[("version", env!("CARGO_PKG_VERSION"))], "1");
        let standing = self.standing.to_string();
        page.one_of(
            "drain_proxy_standing",
            "What balancers above are told, per state label value",
            &["up", "soft", "hard"],
            std::iter::once((Vec::new(), &*standing)),
        );
        for (name, help, value) in [
            ("process_open_descriptors", "Files that are open", self.descriptors),
            ("process_most_descriptors", "Files that may be open", self.most_descriptors),
            ("process_resident_memory_bytes", "Resident memory", self.resident_bytes),
        ] {
            page.family(&format!("drain_proxy_{name}"), help);
            if let Some(value) = value {
                page.sample(&[], &value.to_string());
            }
        }
        page.family(
            "drain_proxy_kept_write_failures_total",
            "Tries to write admin.server_state or admin.keep_changes that have failed",
        );
        page.sample(&[], &self.unwritten.to_string());
    }
}

fn of_servers(page: &mut Page, rows: &[&Row]) {
    fn labels(row: &Row) -> Vec<(&'static str, &str)> {
        vec![("proxy", row.text(Field::Pxname)), ("server", row.text(Field::Svname))]
    }
    page.one_of(
        "drain_proxy_server_drain_phase",
        "The phase of its drain as a server's agent tells it, per state label value",
        PHASES,
        rows.iter().map(|row| {
            let drain = row.beyond.drain.as_deref().unwrap_or_default();
            (labels(row), drain.split(';').next().unwrap_or_default())
        }),
    );
    page.family("drain_proxy_server_users", "Distinct users whose cookie names this server, or who used it");
    for row in rows {
        page.sample(&labels(row), &row.beyond.users.to_string());
    }
    page.family(
        "drain_proxy_server_requests_elsewhere",
        "Requests in flight in an earlier process that finishes what it has",
    );
    for row in rows {
        page.sample(&labels(row), &row.beyond.elsewhere.to_string());
    }
}
