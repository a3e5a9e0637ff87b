//! Tables: of the sources of traffic, and of the balancers.

use std::{array, net::IpAddr};

use drain_agent::control::api::{Source, Status, Traffic, Verdict};

use super::{ago, span};

/// The table of sources of traffic.
pub(crate) fn sources(traffic: &Traffic) -> String {
    let head = ["TRAFFIC", "IN FLIGHT", "IDLE", "USERS", "REQUESTS", "LAST", "READ", "VERDICT"];
    let mut rows = vec![head.map(str::to_owned)];
    for source in &traffic.sources {
        let number = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let ago =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ago| format!("{} ago", span(ago)));
        rows.push([
            source.name.clone(),
            number(source.in_flight),
            number(source.idle),
            number(source.users),
            source.requests.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            ago(source.last_seconds),
            ago(source.age_seconds),
            verdict(source, traffic.needed_seconds),
        ]);
    }
    table(&rows)
}

/// What a source says; `needed`: how long a drain waits for it to be quiet.
fn verdict(source: &Source, needed: Option<f64>) -> String {
    match (source.verdict, source.quiet_seconds) {
        (Verdict::Unknown, _) => format!("unknown: {}", source.why),
        (Verdict::Holds, _) if needed.is_some() => format!("holds: {}", source.why),
        (Verdict::Holds, _) => source.why.clone(),
        (Verdict::Quiet, Some(quiet)) => format!("quiet for {}", span(quiet)),
        (Verdict::Quiet, None) => "quiet".to_owned(),
    }
}

/// The table of balancers, those that are expected and have never asked last; `now_unix` in seconds since 1970.
pub(crate) fn balancers(status: &Status, now_unix: u64) -> String {
    if status.balancers.is_empty() && status.absent.is_empty() {
        return "no balancer has asked for the server's health yet".to_owned();
    }
    let head = [
        "SOURCE",
        "NODE",
        "NAME",
        "SINCE",
        "LAST",
        "EVERY",
        "ANSWER",
        "VIEW",
        "WEIGHT",
        "SCUR",
        "USERS",
        "ACKNOWLEDGED",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for balancer in &status.balancers {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let number = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |number| number.to_string());
        rows.push([
            balancer.source.to_string(),
            text(&balancer.node),
            text(&balancer.name),
            format!("{} ago", ago(balancer.since_unix, now_unix)),
            format!("{} ago", span(balancer.last_seconds)),
            balancer.interval_seconds.map_or_else(|| "-".to_owned(), span),
            balancer.answer.to_string(),
            text(&balancer.view),
            text(&balancer.weight),
            number(balancer.scur),
            number(balancer.users),
            format!("{}: {}", if balancer.acknowledged { "yes" } else { "no" }, balancer.why),
        ]);
    }
    for name in &status.absent {
        let mut row = head.map(|_| "-".to_owned());
        row[usize::from(name.parse::<IpAddr>().is_err())].clone_from(name);
        let [.., acknowledged] = &mut row;
        "no: is expected and has never asked".clone_into(acknowledged);
        rows.push(row);
    }
    table(&rows)
}

/// Columns as wide as their widest cell.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
