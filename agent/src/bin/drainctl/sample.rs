//! A status and a diagnosis for the tests of what is shown of them.

use drain_agent::{
    clock::Moment,
    control::api::{
        Acknowledged, Agent, Asked, Balancer, Drain, Limit, Origin, Outcome, Readiness, Source, Status,
        Target, Then, Traffic, Verdict, Wait,
    },
    doctor::{Diagnosis, Finding},
    lifecycle::Phase,
};

/// A status in the middle of a hard drain that holds.
pub(crate) fn hard(reached: bool) -> Status {
    let mut status = Status { phase: Phase::Hard, ..soft() };
    let asked = status.asked.as_mut().unwrap();
    (asked.reached, asked.then) = (reached, Some(Then::Hold));
    status
}

/// A status in the middle of a soft drain.
pub(crate) fn soft() -> Status {
    Status {
        server: "shop".to_owned(),
        phase: Phase::Soft,
        answer: 404,
        reason: "soft drain".to_owned(),
        since_unix: 1000,
        generation: 3,
        asked: Some(Asked {
            drain: 7,
            what: Target::Soft,
            then: Some(Then::Restart),
            until_unix: None,
            origin: Origin::Control { pid: Some(4711), uid: 1000, gid: 1000 },
            reason: Some("new kernel".to_owned()),
            since_unix: 1000,
            reached: false,
            limit_passed: None,
            again: false,
            stopped: false,
            command: None,
        }),
        limit: Some(Limit { waits_for: Wait::Quiet, seconds_left: 250.4, then: "hard".to_owned() }),
        acknowledged: Acknowledged { count: 1, of: 2, complete: false, awaits: None },
        balancers: vec![
            Balancer {
                source: "10.0.0.2".parse().unwrap(),
                node: Some("lb1".to_owned()),
                name: Some("shop/a".to_owned()),
                since_unix: 10,
                interval_seconds: Some(0.5),
                last_seconds: 0.2,
                answer: 404,
                view: Some("NOLB".to_owned()),
                weight: Some("0/2".to_owned()),
                scur: Some(3),
                users: None,
                acknowledged: true,
                why: "its header says NOLB".to_owned(),
                gone: false,
                remaining: Some(2),
                too_few: None,
                alone: false,
            },
            Balancer {
                source: "10.0.0.3".parse().unwrap(),
                node: None,
                name: None,
                since_unix: 10,
                interval_seconds: None,
                last_seconds: 12.0,
                answer: 200,
                view: None,
                weight: None,
                scur: None,
                users: None,
                acknowledged: false,
                why: "was given 1 of 3 answers".to_owned(),
                gone: false,
                remaining: None,
                too_few: None,
                alone: false,
            },
        ],
        absent: Vec::new(),
        traffic: Traffic {
            in_flight: Some(3),
            idle: Some(12),
            quiet_seconds: None,
            needed_seconds: Some(300.0),
            age_seconds: Some(0.2),
            unknown: Vec::new(),
            sources: sources_of_soft(),
        },
        readiness: Readiness { ready: Some(true), text: "200 in 3 ms".to_owned(), settles_seconds: 6.0 },
        drains: vec![Drain {
            id: 6,
            outcome: Outcome::Done,
            text: "restarted".to_owned(),
            ended_unix: 900,
            then: Some(Then::Restart),
            restart_seconds: Some(2.34),
            output: None,
            users_back_seconds: Some(1.24),
        }],
        warnings: vec!["lb9 takes 404 for a failure".to_owned()],
        agent: Agent { pid: 99, version: "0.1.0".to_owned(), uptime_seconds: 3700.0 },
        taken: Moment::default(),
    }
}

fn sources_of_soft() -> Vec<Source> {
    vec![
        Source {
            name: "sockets".to_owned(),
            in_flight: Some(3),
            idle: Some(12),
            users: None,
            requests: None,
            last_seconds: Some(0.2),
            age_seconds: Some(0.2),
            quiet_seconds: None,
            verdict: Verdict::Holds,
            why: "3 in flight".to_owned(),
        },
        Source {
            name: "access_log /var/log/shop.log".to_owned(),
            in_flight: None,
            idle: None,
            users: None,
            requests: Some(4711),
            last_seconds: Some(15.0),
            age_seconds: Some(0.1),
            quiet_seconds: Some(14.8),
            verdict: Verdict::Quiet,
            why: String::new(),
        },
    ]
}

/// A diagnosis with these findings.
pub(crate) fn diagnosis(findings: Vec<Finding>) -> Diagnosis {
    Diagnosis {
        server: "web1".to_owned(),
        findings,
        health_ports: vec![8404],
        spoken_ports: Vec::new(),
        server_ports: vec![80],
        names: Vec::new(),
        acknowledge_seconds: 60.0,
    }
}
