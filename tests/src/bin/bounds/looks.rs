//! What looks at the socket table cost.

use std::{num::NonZeroU16, time::Duration};

use anyhow::{Context, Result};
use drain_agent::traffic::sockets::{Doors, Looks, Own, Sockets};
use drain_tests::{Agent, Place, clock, usage};
use netlink_sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::{
    process::Signal,
    time::{ClockId, clock_gettime},
};

use super::{ANSWER_MICROS, Row, checks, crowd::Crowd};

/// The bounds.
const LOOK_MILLIS: f64 = 20.0;
const OVER_BARE: f64 = 1.15;
const UP_PER_CENT: f64 = 1.0;

/// Sockets of the first bound.
const MANY: usize = 10_000;
/// Of the others.
const VERY_MANY: usize = 100_000;
/// Looks of which the cheapest counts: what disturbs only adds.
const LOOKS: usize = 9;
/// The agent's looks while up are so far apart, and so many are in the time that is measured.
const UP_FOR: Duration = Duration::from_secs(61);
/// Health checks during the looks of a drain.
const CHECKS: usize = 50;

/// CPU time of one look at 10,000 sockets.
pub(crate) fn many() -> Result<Vec<Row>> {
    let crowd = Crowd::new(MANY)?;
    let (look, _) = cheapest(&crowd)?;
    Ok(vec![Row { what: "CPU of a look at 10,000 sockets, ms", measured: look * 1e3, bound: LOOK_MILLIS }])
}

/// The same with 100,000, beside a loop that only receives; and what the agent does with them.
pub(crate) fn very_many() -> Result<Vec<Row>> {
    let crowd = Crowd::new(VERY_MANY)?;
    let (look, bare) = cheapest(&crowd)?;
    eprintln!(
        "a look at {} sockets takes {:.0} ms, a bare loop {:.0} ms",
        crowd.count,
        look * 1e3,
        bare * 1e3
    );
    let place = Place::new("bounds_looks");
    let mut agent = Agent::guarding(&place, "agent", crowd.address.port())
        .acknowledge("1s", "proceed")
        .min_remaining(0)
        .long_lived("wait")
        .hard_limit("60s", "abort")
        .start();
    let pid = agent.child().pid();
    let (before, start) = (usage::cpu_nanos(pid)?, clock::now());
    clock::pause(UP_FOR);
    let up = (usage::cpu_nanos(pid)? - before) as f64 / start.elapsed().as_nanos() as f64;

    agent.signal(Signal::USR2);
    agent.wait_until("looks that find all", UP_FOR, |status| {
        status.acknowledged.complete && status.traffic.idle == Some(crowd.count as u32)
    });
    let mut times = super::answers(&agent, CHECKS, 500)?;
    times.sort();
    anyhow::ensure!(agent.ctl(&["up"]).status.success(), "the drain is cancelled");
    checks(&agent, 1)?;
    Ok(vec![
        Row { what: "a look at 100,000 sockets over a bare loop", measured: look / bare, bound: OVER_BARE },
        Row {
            what: "CPU while up with 100,000 sockets, % of a core",
            measured: 100.0 * up,
            bound: UP_PER_CENT,
        },
        Row {
            what: "a health answer among looks at them, median, µs",
            measured: times[times.len() / 2].as_secs_f64() * 1e6,
            bound: ANSWER_MICROS,
        },
    ])
}

/// CPU seconds of the cheapest look, and of the cheapest bare loop, in turn.
fn cheapest(crowd: &Crowd) -> Result<(f64, f64)> {
    let port = NonZeroU16::new(crowd.address.port()).context("a port")?;
    let sockets = Sockets::new(Doors::at_ports(&[port]), Own::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (mut look, mut bare) = (f64::MAX, f64::MAX);
    for _ in 0..LOOKS {
        let start = cpu_seconds();
        let reading = runtime.block_on(sockets.look(Looks::Seldom))?;
        look = look.min(cpu_seconds() - start);
        anyhow::ensure!(
            reading.open() as usize == crowd.count,
            "expected {}, found {reading:?}",
            crowd.count
        );
        let start = cpu_seconds();
        receive_all(port)?;
        bare = bare.min(cpu_seconds() - start);
    }
    Ok((look, bare))
}

/// CPU time of this process.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Asks for what a look asks for, and looks at nothing of what comes but the types of messages.
fn receive_all(port: NonZeroU16) -> Result<()> {
    const DONE: u16 = 3;
    let netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.connect(&NetlinkAddr::new(0, 0))?;
    let mut datagram = vec![0; 32 * 1024];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut request = Vec::new();
        request.extend(72u32.to_ne_bytes());
        request.extend(20u16.to_ne_bytes()); // SOCK_DIAG_BY_FAMILY
        request.extend(0x301u16.to_ne_bytes()); // NLM_F_REQUEST | NLM_F_DUMP
        request.extend([0; 8]);
        request.extend([family as u8, libc::IPPROTO_TCP as u8, 1 << 1, 0]); // with tcp_info
        request.extend((1u32 << 1 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11).to_ne_bytes());
        request.extend(port.get().to_be_bytes());
        request.resize(72, 0);
        netlink.send(&request, 0)?;
        loop {
            let length = netlink.recv(&mut &mut datagram[..], 0)?;
            anyhow::ensure!(length >= 16, "a datagram of {length} bytes");
            if u16::from_ne_bytes([datagram[4], datagram[5]]) == DONE {
                break;
            }
        }
    }
    Ok(())
}
