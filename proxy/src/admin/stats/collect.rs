//! Puts together what is counted and seen of proxies and servers, in HAProxy's fields.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::rate::Seen;
use super::statistics::{AllSeen, Facts, seconds};
use super::{Beyond, Field, Kind, Row, status};
use crate::backend::{Administration, Backend, Checked, History, Server};
use crate::config::{self, Balance};
use crate::served::{Counter, Totals};
use crate::worker::{Frontend, Generation};

/// A proxy as HAProxy counts them: a frontend, a backend, or both where a frontend sends its requests to the backend of
/// its own name (HAProxy's `listen`).
#[derive(Clone, Copy, Debug)]
pub struct Proxy<'g> {
    /// HAProxy's `iid`.
    pub number: u32,
    /// Its name.
    pub name: &'g str,
    /// What it is towards clients.
    pub frontend: Option<&'g Frontend>,
    /// What it is towards servers.
    pub backend: Option<&'g Arc<Backend>>,
}

/// All proxies, in configuration order.
pub fn proxies(generation: &Generation) -> Vec<Proxy<'_>> {
    let proxy = |numbered: &config::Numbered| {
        let frontend = numbered.frontend.map(|at| &generation.frontends()[at]);
        let backend = numbered.backend.map(|at| &generation.backends()[at.0]);
        let name =
            frontend.map(|frontend| &*frontend.settings.name).or(backend.map(|backend| backend.name()));
        Proxy { number: numbered.number, name: name.unwrap_or_default(), frontend, backend }
    };
    generation.proxies().iter().map(proxy).collect()
}

/// All rows.
pub(super) fn rows(generation: &Generation, seen: &AllSeen, facts: &Facts, now: Instant) -> Vec<Row> {
    let mut rows = Vec::new();
    for proxy in proxies(generation) {
        if let Some(found) = proxy.frontend {
            rows.push(of_frontend(found, proxy.number, seen));
        }
        let Some(backend) = proxy.backend else { continue };
        for server in backend.servers() {
            rows.push(of_server((backend, server), proxy.number, seen, facts, now));
        }
        rows.push(of_backend(backend, proxy.number, seen, facts, now));
    }
    rows
}

fn begun(kind: Kind, (name, number): (&str, u32), (of, id): (&str, u32)) -> Row {
    let mut row = Row::new(kind, number, id);
    row.set(Field::Pxname, name);
    row.set(Field::Svname, of);
    row.set(Field::Pid, 1_u32);
    row.set(Field::Iid, number);
    row.set(Field::Sid, id);
    row.set(Field::Type, kind.number());
    row.set(Field::Mode, "http");
    row
}

/// What every kind of row has of what was served; gives it back.
fn served(row: &mut Row, totals: Totals, seen: &Seen) -> Totals {
    let totals = match &seen.cleared {
        Some(cleared) => totals.since(&cleared.totals),
        None => totals,
    };
    row.set(Field::Bin, totals.of(Counter::BytesIn));
    row.set(Field::Bout, totals.of(Counter::BytesOut));
    row.set(Field::Dresp, totals.of(Counter::DeniedResponses));
    let classes =
        [Field::Hrsp1xx, Field::Hrsp2xx, Field::Hrsp3xx, Field::Hrsp4xx, Field::Hrsp5xx, Field::HrspOther];
    for (field, count) in classes.into_iter().zip(totals.statuses) {
        row.set(field, count);
    }
    row.set(Field::ReqTot, totals.of(Counter::Requests));
    row.set(Field::Rate, small(seen.sessions.now));
    row.set(Field::RateMax, small(seen.sessions.most));
    row.set(Field::Wrew, totals.of(Counter::FailedRewrites));
    row.set(Field::Eint, 0_u64);
    totals
}

/// What proxies have and servers have not: features that are not here count nothing.
fn of_proxy(row: &mut Row, totals: &Totals) {
    row.set(Field::Dreq, totals.of(Counter::DeniedRequests));
    for field in
        [Field::CompIn, Field::CompOut, Field::CompByp, Field::CompRsp, Field::CacheLookups, Field::CacheHits]
    {
        row.set(field, 0_u64);
    }
}

/// What servers and backends have and frontends have not.
fn towards_servers(row: &mut Row, totals: &Totals) {
    for (field, counter) in [
        (Field::Econ, Counter::FailedConnections),
        (Field::Eresp, Counter::FailedResponses),
        (Field::Wretr, Counter::Retries),
        (Field::Wredis, Counter::Redispatches),
        (Field::CliAbrt, Counter::ClientAborts),
        (Field::SrvAbrt, Counter::ServerAborts),
        (Field::Lbtot, Counter::Balanced),
        (Field::Connect, Counter::Connects),
        (Field::Reuse, Counter::Reuses),
    ] {
        row.set(field, totals.of(counter));
    }
    let fields = [
        (Field::Qtime, Field::QtimeMax),
        (Field::Ctime, Field::CtimeMax),
        (Field::Rtime, Field::RtimeMax),
        (Field::Ttime, Field::TtimeMax),
    ];
    for ((average, most), time) in fields.into_iter().zip(totals.times) {
        row.set(average, time.0);
        row.set(most, time.1);
    }
}

fn of_frontend(frontend: &Frontend, number: u32, seen: &AllSeen) -> Row {
    let mut row = begun(Kind::Frontend, (&frontend.settings.name, number), ("FRONTEND", 0));
    let (open, seen) = (&frontend.open, seen.of(&frontend.open.served));
    let totals = served(&mut row, open.served.totals(), &seen);
    of_proxy(&mut row, &totals);
    let connections = totals.of(Counter::Connections);
    row.set(Field::Scur, open.frontend.load(Ordering::Relaxed));
    row.set(Field::Smax, open.most.highest());
    row.set(Field::Slim, small(frontend.limit() as u64));
    row.set(Field::Stot, connections);
    row.set(Field::Ereq, totals.of(Counter::BadRequests));
    row.set(Field::Status, if frontend.is_paused() { "STOP" } else { "OPEN" });
    row.set(Field::RateLim, 0_u32);
    row.set(Field::ReqRate, small(seen.requests.now));
    row.set(Field::ReqRateMax, small(seen.requests.most));
    row.set(Field::ConnRate, small(seen.sessions.now));
    row.set(Field::ConnRateMax, small(seen.sessions.most));
    row.set(Field::ConnTot, connections);
    row.set(Field::Intercepted, totals.of(Counter::Intercepted));
    for field in [Field::Dcon, Field::Dses] {
        row.set(field, 0_u64);
    }
    row
}

fn of_server(
    (backend, server): (&Backend, &Server),
    number: u32,
    seen: &AllSeen,
    facts: &Facts,
    now: Instant,
) -> Row {
    let id = server.index() as u32 + 1;
    let mut row = begun(Kind::Server, (backend.name(), number), (server.name(), id));
    let (settings, seen, history) = (server.settings(), seen.of(server.served()), server.history());
    let totals = served(&mut row, server.served().totals(), &seen);
    towards_servers(&mut row, &totals);
    row.set(Field::Qcur, server.queued());
    row.set(Field::Qmax, server.most_queued().highest());
    row.set(Field::Scur, server.in_flight());
    row.set(Field::Smax, server.most_in_flight().highest());
    let configured = settings.maxconn.map_or(0, NonZeroU32::get);
    if let most @ 1.. = server.maxconn_asked().unwrap_or(configured) {
        row.set(Field::Slim, most);
    }
    if let Some(most) = settings.maxqueue {
        row.set(Field::Qlimit, most.get());
    }
    let before = seen.cleared.as_ref().map_or(0, |cleared| cleared.sessions);
    row.set(Field::Stot, server.requests().saturating_sub(before));
    row.set(Field::Status, status::of(server));
    row.set(Field::Weight, backend.effective_weight(server));
    row.set(Field::Uweight, u32::from(server.weight()));
    row.set(Field::Act, u32::from(!settings.backup));
    row.set(Field::Bck, u32::from(settings.backup));
    row.set(Field::Lastchg, seconds(now.saturating_duration_since(history.changed.unwrap_or(facts.started))));
    if let Some(percent) = server.throttle(now) {
        row.set(Field::Throttle, percent);
    }
    let idle = server.idle();
    let used = server.open().saturating_sub(idle);
    for (field, count) in [
        (Field::SrvIcur, idle),
        (Field::IdleConnCur, idle),
        (Field::SafeConnCur, 0),
        (Field::UsedConnCur, used),
        (Field::NeedConnEst, used),
    ] {
        row.set(field, count);
    }
    row.set(Field::Lastsess, last(seen.sessions.idle_for(server.requests(), now)));
    row.set(Field::Addr, settings.address.to_string());
    if let Some(cookie) = server.cookie() {
        row.set(Field::Cookie, cookie);
    }
    checks(&mut row, server, &history, now);
    row.beyond = Beyond {
        users: u64::from(server.users().count(now)),
        elsewhere: server.elsewhere().in_flight,
        acknowledged: history.shown > 0,
        drain: history.check.and_then(|check| check.drain),
        ..Beyond::default()
    };
    row
}

/// What is known by its checks and its agent.
fn checks(row: &mut Row, server: &Server, history: &History, now: Instant) {
    let settings = server.settings();
    let is_paused = server.administration() == Administration::Maintenance;
    if let Some(check) = settings.check.as_ref().filter(|_| !server.forced().is_unchecked()) {
        row.set(Field::Chkfail, history.failed_checks);
        row.set(Field::Chkdown, history.downs);
        row.set(Field::Downtime, seconds(history.downtime(now)));
        if settings.passive.observe.is_some() {
            row.set(Field::Hanafail, history.observed);
        }
        if !is_paused {
            let fields = [
                Field::CheckStatus,
                Field::CheckCode,
                Field::CheckDuration,
                Field::CheckDesc,
                Field::LastChk,
            ];
            of_check(row, history.check.as_ref(), fields);
            row.set(Field::CheckRise, check.rise.get());
            row.set(Field::CheckFall, check.fall.get());
            row.set(Field::CheckHealth, status::health(server).unwrap_or(0));
        }
    }
    if settings.agent.is_some() && !server.forced().is_unasked() && !is_paused {
        let fields =
            [Field::AgentStatus, Field::AgentCode, Field::AgentDuration, Field::AgentDesc, Field::LastAgt];
        of_check(row, history.agent.as_ref(), fields);
        row.set(Field::AgentRise, 1_u32);
        row.set(Field::AgentFall, 1_u32);
        row.set(Field::AgentHealth, u32::from(!server.asked().down));
    }
}

fn of_check(
    row: &mut Row,
    checked: Option<&Checked>,
    [status, code, duration, description, info]: [Field; 5],
) {
    let Some(checked) = checked else {
        row.set(status, "INI");
        row.set(description, "Initializing");
        return;
    };
    row.set(status, checked.status);
    if let Some(number) = checked.code {
        row.set(code, u32::from(number));
    }
    row.set(duration, checked.duration.as_millis() as u64);
    row.set(description, checked.description);
    row.set(info, checked.info.as_str());
}

fn of_backend(backend: &Backend, number: u32, seen: &AllSeen, facts: &Facts, now: Instant) -> Row {
    let mut row = begun(Kind::Backend, (backend.name(), number), ("BACKEND", 0));
    let seen = seen.of(backend.served());
    let all = backend.served().totals();
    row.set(Field::Lastsess, last(seen.sessions.idle_for(all.of(Counter::Requests), now)));
    let totals = served(&mut row, all, &seen);
    of_proxy(&mut row, &totals);
    towards_servers(&mut row, &totals);
    let servers = backend.servers();
    let in_flight: u32 = servers.iter().map(|server| server.in_flight()).sum();
    row.set(Field::Qcur, backend.queued_in_all());
    row.set(Field::Qmax, backend.most_queued().highest());
    row.set(Field::Scur, in_flight);
    let of_one = servers.iter().map(|server| server.most_in_flight().highest()).max().unwrap_or(0);
    row.set(Field::Smax, seen.most.max(in_flight).max(of_one));
    row.set(Field::Slim, backend.settings().fullconn.get());
    row.set(Field::Stot, totals.of(Counter::Requests));
    let usable = backend.usable();
    row.set(Field::Status, if usable.active + usable.backup > 0 { "UP" } else { "DOWN" });
    row.set(Field::Weight, usable.weight);
    row.set(Field::Uweight, usable.weight);
    row.set(Field::Act, usable.active as u32);
    row.set(Field::Bck, usable.backup as u32);
    let before = seen.cleared.as_ref().map_or(0, |cleared| cleared.downs);
    row.set(Field::Chkdown, seen.downs.saturating_sub(before));
    row.set(Field::Lastchg, seconds(now.saturating_duration_since(seen.changed.unwrap_or(facts.started))));
    row.set(Field::Downtime, seconds(seen.downtime(now)));
    if let Some(cookie) = &backend.settings().cookie {
        row.set(Field::Cookie, &*cookie.name);
    }
    row.set(Field::Algo, algorithm(&backend.settings().balance));
    for field in [Field::AggServerStatus, Field::AggServerCheckStatus, Field::AggCheckStatus] {
        row.set(field, 0_u32);
    }
    let tally = backend.tally();
    row.beyond = Beyond {
        users: servers.iter().map(|server| u64::from(server.users().count(now))).sum(),
        elsewhere: backend.in_flight_elsewhere(),
        drain: None,
        acknowledged: false,
        replays: tally.replays.total(),
        resumes: tally.resumes.total(),
    };
    row
}

/// As HAProxy calls it.
fn algorithm(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRoundRobin => "static-rr",
        Balance::LeastConn => "leastconn",
        Balance::First => "first",
        Balance::Random(_) => "random",
        Balance::Source => "source",
        Balance::Uri(_) => "uri",
        Balance::Header { .. } => "hdr",
        Balance::UrlParam(_) => "url_param",
    }
}

fn last(idle: Option<Duration>) -> i32 {
    idle.map_or(-1, |idle| i32::try_from(idle.as_secs()).unwrap_or(i32::MAX))
}

pub(super) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
