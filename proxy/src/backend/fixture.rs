//! Backends for tests.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{Admission, Backend, Slot, Ticket};
use crate::config::{self, WhenAllDrain};

pub(crate) fn server(name: &str) -> config::Server {
    config::Server {
        name: name.into(),
        address: "127.0.0.1:80".parse().unwrap(),
        cookie: Some(name.into()),
        force_persist: config::Condition::Never,
        weight: 1,
        maxconn: None,
        minconn: None,
        maxqueue: None,
        slowstart: Duration::ZERO,
        backup: false,
        disabled: false,
        send_proxy: None,
        check: None,
        agent: None,
        passive: config::Passive::default(),
    }
}

pub(crate) fn limited(name: &str, maxconn: u32) -> config::Server {
    config::Server { maxconn: NonZeroU32::new(maxconn), ..server(name) }
}

pub(crate) fn checked(name: &str) -> config::Server {
    config::Server { check: Some(check()), ..server(name) }
}

pub(crate) fn check() -> config::Check {
    let request = config::CheckRequest {
        method: "OPTIONS".into(),
        uri: "/".into(),
        version: config::HttpVersion::Http10,
        host: None,
        headers: Vec::new(),
        body: "".into(),
    };
    let inter = Duration::from_secs(2);
    config::Check {
        address: "127.0.0.1:80".parse().unwrap(),
        request: Some(request.into()),
        expect: config::Expect::default(),
        soft_drain_on: Some(404),
        send_state: true,
        send_proxy: None,
        inter,
        fastinter: inter,
        downinter: inter,
        rise: NonZeroU32::new(2).unwrap(),
        fall: NonZeroU32::new(3).unwrap(),
        timeout: None,
    }
}

pub(crate) fn settings(servers: Vec<config::Server>) -> config::Backend {
    let second = Duration::from_secs(1);
    config::Backend {
        name: "shop".into(),
        balance: config::Balance::RoundRobin,
        hash_type: config::HashType::MapBased,
        allbackups: false,
        fullconn: NonZeroU32::new(1000).unwrap(),
        cookie: None,
        persist: false,
        force_persist: config::Condition::Never,
        ignore_persist: config::Condition::Never,
        users_window: 300 * second,
        retry: retry(),
        reuse: config::Reuse::Always,
        abort_on_close: false,
        forward_for: None,
        original_to: None,
        load_server_state: None,
        rules: crate::rules::Rules::default().into(),
        timeout: config::BackendTimeout {
            connect: second,
            server: second,
            queue: second,
            tunnel: None,
            server_fin: None,
        },
        when_all_drain: WhenAllDrain::Serve,
        servers,
    }
}

pub(crate) fn backend_of(settings: config::Backend) -> Arc<Backend> {
    Backend::new(settings)
}

/// What holds where nothing is configured.
pub(crate) fn retry() -> config::Retry {
    config::Retry {
        limit: 3,
        redispatch: config::Redispatch::FromLast(1.try_into().unwrap()),
        interval: Duration::from_secs(1),
        on: config::RetryOn::STANDARD,
        replay: config::Replay { memory: 64 << 10, disk: 64 << 20 },
        with_idempotency_key: false,
        resume: true,
    }
}

/// The slot that a request has got.
pub(crate) fn granted(admission: Admission) -> Slot {
    match admission {
        Admission::Granted(slot) => slot,
        other => panic!("expected a slot, got {other:?}"),
    }
}

/// The place in which it waits.
pub(crate) fn queued(admission: Admission) -> Ticket {
    match admission {
        Admission::Queued(ticket) => ticket,
        other => panic!("expected a ticket, got {other:?}"),
    }
}
