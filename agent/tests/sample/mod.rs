//! What an agent says of a server that is up.

use drain_agent::{
    clock::Moment,
    control::api::{Acknowledged, Agent, Readiness, Status, Traffic},
    lifecycle::Phase,
};

/// Nothing is known but that it is ready.
pub(crate) fn up() -> Status {
    Status {
        server: "shop".to_owned(),
        phase: Phase::Up,
        answer: 200,
        reason: "ready".to_owned(),
        since_unix: 1000,
        generation: 1,
        asked: None,
        limit: None,
        acknowledged: Acknowledged::default(),
        balancers: Vec::new(),
        absent: Vec::new(),
        traffic: Traffic::default(),
        readiness: Readiness::default(),
        drains: Vec::new(),
        warnings: Vec::new(),
        agent: Agent { pid: 1, version: "0.1.0".to_owned(), uptime_seconds: 1.0 },
        taken: Moment::now(),
    }
}
