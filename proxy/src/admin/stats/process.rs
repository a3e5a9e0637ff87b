//! What is said of the process.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::collect::small;
use super::statistics::{AllSeen, Facts, seconds};
use super::{Info, InfoField, Value};
use crate::exchange;
use crate::served::Counter;
use crate::worker::Generation;

/// What clients that look at it take for HAProxy's version: they ask for features by it, and those of 2.6 are here.
pub const VERSION: &str = concat!("2.6.12-drain", env!("CARGO_PKG_VERSION"));

/// When this was made, in the form that clients read.
const RELEASE_DATE: &str = "2026/11/23";

/// What is said of the process.
pub(super) fn info(generation: &Generation, seen: &AllSeen, facts: &Facts, now: Instant) -> Info {
    let frontends = generation.frontends();
    let sum =
        |counter| -> u64 { frontends.iter().map(|frontend| frontend.open.served.totals().of(counter)).sum() };
    // Of the whole process, and so the same in all of them.
    let current = frontends.first().map_or(0, |first| first.open.process.load(Ordering::Relaxed));
    let uptime = now.saturating_duration_since(facts.started).as_secs();
    let listeners = frontends.iter().map(|frontend| frontend.settings.bind.len()).sum::<usize>() as u32;
    let process = &seen.process;
    Info::fill(|field| {
        Some(match field {
            InfoField::Name => "HAProxy".into(),
            InfoField::Version | InfoField::BuildInfo => VERSION.into(),
            InfoField::ReleaseDate => RELEASE_DATE.into(),
            InfoField::Nbthread => (facts.threads as u32).into(),
            InfoField::Nbproc | InfoField::ProcessNum => 1_u32.into(),
            InfoField::Pid => std::process::id().into(),
            InfoField::Uptime => {
                let (days, rest) = (uptime / 86_400, uptime % 86_400);
                format!("{days}d {}h{:02}m{:02}s", rest / 3600, rest % 3600 / 60, rest % 60).into()
            }
            InfoField::UptimeSec => small(uptime).into(),
            InfoField::UlimitN | InfoField::Maxsock => {
                getrlimit(Resource::Nofile).current.map_or(0, small).into()
            }
            InfoField::Maxconn | InfoField::HardMaxconn => small(generation.limit() as u64).into(),
            InfoField::CurrConns => current.into(),
            InfoField::CumConns => small(sum(Counter::Connections)).into(),
            InfoField::CumReq => small(sum(Counter::Requests)).into(),
            InfoField::ConnRate | InfoField::SessRate => small(process.connections.now).into(),
            InfoField::MaxConnRate | InfoField::MaxSessRate => small(process.connections.most).into(),
            InfoField::Tasks | InfoField::Jobs => (current + listeners).into(),
            InfoField::Listeners => listeners.into(),
            InfoField::IdlePct => idle_percent(process.busy.now, facts.threads).into(),
            InfoField::Node => facts.node.as_str().into(),
            InfoField::Description => concat!("drain-proxy ", env!("CARGO_PKG_VERSION")).into(),
            InfoField::TotalBytesOut => sum(Counter::BytesOut).into(),
            InfoField::BytesOutRate => process.bytes_out.now.into(),
            InfoField::TotalSplicdedBytesOut => exchange::spliced_bytes().into(),
            InfoField::PoolAllocBytes | InfoField::PoolUsedBytes => 0_u64.into(),
            InfoField::StartTimeSec => {
                seconds(facts.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default()).into()
            }
            InfoField::Tainted => Value::Text("0".to_owned()),
            _ => 0_u32.into(),
        })
    })
}

/// Processor time that this process has used.
pub(super) fn busy() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// What is left of a second of all threads, when so many microseconds of it were used.
fn idle_percent(busy_micros: u64, threads: usize) -> u32 {
    let all = 1_000_000 * threads.max(1) as u64;
    100 - small(busy_micros.saturating_mul(100) / all).min(100)
}
