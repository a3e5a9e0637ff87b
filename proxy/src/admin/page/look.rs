//! What is seen at one moment.

use std::{collections::HashSet, sync::Arc};

use serde::Serialize;

use super::{
    history::{History, Name},
    layout::{Layout, Process, name_of},
    view::Server,
};
use crate::admin::{
    http::Standing,
    stats::{Field, Kind, Snapshot},
};

/// What is seen at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) layout: Arc<Layout>,
    pub(super) process: Process,
    /// All but the servers, as the event has it.
    numbers: Numbers,
    /// Each server: the place of its backend, its own in there, and the rest as JSON.
    servers: Vec<(usize, usize, Arc<str>)>,
}

/// Numbers of the process, its frontends and its backends.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Numbers {
    /// Milliseconds since 1970.
    pub(super) at: u64,
    /// A sample of each plot was taken.
    pub(super) tick: bool,
    pub(super) uptime_s: u64,
    pub(super) standing: String,
    pub(super) connections: u64,
    pub(super) descriptors: u64,
    pub(super) memory: u64,
    /// Requests in a second, of all frontends.
    pub(super) rate: f64,
    /// Open connections, and requests in a second.
    pub(super) frontends: Vec<(i64, f64)>,
    /// Who waits, then what was tried again, elsewhere, sent again, continued.
    pub(super) backends: Vec<(i64, i64, i64, u64, u64)>,
}

/// As page.js reads it.
#[derive(Serialize)]
struct Event<'l> {
    #[serde(flatten)]
    numbers: &'l Numbers,
    servers: Vec<(usize, usize, &'l serde_json::value::RawValue)>,
}

impl Numbers {
    /// With what stands in no snapshot.
    pub(super) fn of(at: u64, uptime_s: u64, standing: Standing) -> Self {
        Self { at, uptime_s, standing: standing.to_string(), ..Self::default() }
    }
}

impl Look {
    /// At this snapshot, `seconds` after the one before. What is the same as in `before` is shared with it.
    pub(super) fn at(
        snapshot: &Snapshot,
        (layout, process): (Arc<Layout>, Process),
        mut numbers: Numbers,
        history: &mut History,
        seconds: f64,
        before: Option<&Self>,
    ) -> Self {
        let mut servers = Vec::new();
        let mut names: HashSet<Name> = HashSet::with_capacity(snapshot.rows.len());
        for row in &snapshot.rows {
            let name = name_of(row);
            match row.kind {
                Kind::Frontend => {
                    let requests = row.number(Field::ReqTot).unsigned_abs();
                    let rate = history.count(name.clone(), requests, seconds);
                    numbers.rate += rate;
                    numbers.frontends.push((row.number(Field::Scur), rate));
                    if numbers.tick {
                        history.sample(&name, None);
                    }
                }
                Kind::Server => {
                    let requests = row.number(Field::Stot).unsigned_abs();
                    let rate = history.count(name.clone(), requests, seconds);
                    let place = (numbers.backends.len(), row.id as usize - 1);
                    let server = Server::of(row, rate, numbers.at / 1000);
                    if numbers.tick {
                        let time = server.time.map(|time| u32::try_from(time).unwrap_or(u32::MAX));
                        history.sample(&name, time);
                    }
                    // Only maps with keys of other kinds, and writers, fail.
                    let text = serde_json::to_string(&server).unwrap_or_default();
                    let known = before.and_then(|before| before.servers.get(servers.len()));
                    let text = match known {
                        Some((_, _, known)) if **known == *text => known.clone(),
                        _ => text.into(),
                    };
                    servers.push((place.0, place.1, text));
                }
                Kind::Backend => numbers.backends.push((
                    row.number(Field::Qcur),
                    row.number(Field::Wretr),
                    row.number(Field::Wredis),
                    row.beyond.replays,
                    row.beyond.resumes,
                )),
            }
            names.insert(name);
        }
        numbers.rate = (numbers.rate * 10.0).round() / 10.0;
        history.keep(|name| names.contains(name));
        Self { layout, process, numbers, servers }
    }

    /// The event for someone who has seen `before`.
    pub(super) fn event(&self, before: Option<&Self>) -> String {
        let before = before.filter(|before| before.layout == self.layout);
        let changed = self.servers.iter().enumerate().filter(|(index, (_, _, text))| {
            let known = before.and_then(|before| before.servers.get(*index));
            known.is_none_or(|(_, _, known)| !Arc::ptr_eq(known, text) && known != text)
        });
        let servers = changed
            .filter_map(|(_, (backend, server, text))| {
                Some((*backend, *server, serde_json::from_str(text).ok()?))
            })
            .collect();
        serde_json::to_string(&Event { numbers: &self.numbers, servers }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::stats::{Info, Row};

    fn snapshot(in_flight: u32) -> Snapshot {
        let row = |kind, id, name: &str, current: u32| {
            let mut row = Row::new(kind, 2, id);
            row.set(Field::Pxname, "shop");
            row.set(Field::Svname, name);
            row.set(Field::Status, "UP");
            row.set(Field::Scur, current);
            row
        };
        let rows = vec![
            row(Kind::Frontend, 0, "FRONTEND", 5),
            row(Kind::Server, 1, "a", in_flight),
            row(Kind::Server, 2, "b", 0),
            row(Kind::Backend, 0, "BACKEND", 0),
        ];
        Snapshot { info: Info::default(), rows }
    }

    fn look(in_flight: u32, before: Option<&Look>) -> Look {
        let process =
            Process { node: "n".into(), operate: false, most_connections: 9, most_descriptors: None };
        let numbers = Numbers { tick: true, ..Numbers::of(1000, 1, Standing::Up) };
        let mut history = History::default();
        Look::at(&snapshot(in_flight), (Arc::default(), process), numbers, &mut history, 1.0, before)
    }

    fn servers(event: &str) -> Vec<(u64, u64)> {
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        let servers = event["servers"].as_array().unwrap();
        servers.iter().map(|server| (server[0].as_u64().unwrap(), server[1].as_u64().unwrap())).collect()
    }

    #[test]
    fn a_viewer_is_told_of_servers_that_have_changed_and_at_first_of_all() {
        let first = look(1, None);
        assert_eq!(servers(&first.event(None)), [(0, 0), (0, 1)]);
        let same = look(1, Some(&first));
        assert_eq!(servers(&same.event(Some(&first))), []);
        let other = look(2, Some(&same));
        assert_eq!(servers(&other.event(Some(&first))), [(0, 0)]);
        let event: serde_json::Value = serde_json::from_str(&other.event(None)).unwrap();
        assert_eq!(event["frontends"][0][0], 5);
        assert_eq!(event["servers"][0][2]["flight"], 2);
        assert_eq!(event["standing"], "up");
    }
}
