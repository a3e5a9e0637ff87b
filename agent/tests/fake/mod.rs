//! An agent for `drainctl`: a real control socket, behind which a small owner plays the life cycle.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    sync::Arc,
    thread,
    time::Duration,
};

use drain_agent::{
    config::Control,
    control::{
        Ask, Owner, Server,
        api::{
            Acknowledged, Asked, Balancer, Drain, Limit, Origin, Outcome, Readiness, Reply, Status, Target,
            Then, Traffic, Wait,
        },
    },
    faults::Faults,
    lifecycle::{Phase, Request},
    report::{History, Reports},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{sample, steady};

/// Longer than anything here may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// An agent of which only the control socket is real.
pub(crate) struct Fake {
    /// Where its socket is, `shop.sock`, and its history.
    pub(crate) directory: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<Vec<Request>>>,
}

/// How the owner behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Script {
    /// Every drain goes through at once.
    Obliging,
    /// Drains never get any further than their announcement.
    Stuck,
    /// Every request is refused.
    Refusing,
    /// Restarts fail.
    Failing,
    /// A drain is under way that somebody else asked for.
    Busy,
}

impl Fake {
    pub(crate) fn start(test: &str, script: Script) -> Self {
        let directory = std::env::temp_dir().join(format!("drainctl-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("shop.sock");
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let (status, statuses) = watch::channel(Arc::new(status()));
                let (asks, mut asked) = mpsc::channel(8);
                // Nobody looks, and what is shown is as old as it is.
                let (looks, _) = mpsc::channel(1);
                let reports = Reports::new(History::at(&path.with_extension("history.jsonl")));
                let control = Control { socket: path, group: None, look: None, remote: None };
                let server = Server::open(&control, &Faults::default()).unwrap();
                ready.send(()).unwrap();
                let mut requests = Vec::new();
                tokio::select! {
                    () = server.run(Owner { status: statuses, asks, looks, reports, doctor: None }, steady::config()) => {}
                    () = play(script, status, &mut asked, &mut requests) => {}
                    _ = stopped => {}
                }
                requests
            })
        });
        is_ready.recv_timeout(DEADLINE).unwrap();
        Self { directory, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drainctl"));
        command.arg("--socket").arg(self.directory.join("shop.sock")).args(arguments);
        command
    }

    pub(crate) fn drainctl(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Ends it, and tells what it was asked.
    pub(crate) fn requests(mut self) -> Vec<Request> {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _removed = fs::remove_dir_all(&self.directory);
    }
}

fn status() -> Status {
    Status {
        acknowledged: Acknowledged { count: 1, of: 1, complete: true, awaits: None },
        balancers: vec![Balancer {
            source: "10.0.0.2".parse().unwrap(),
            node: Some("lb1".to_owned()),
            name: Some("shop/a".to_owned()),
            since_unix: 10,
            interval_seconds: Some(0.5),
            last_seconds: 0.2,
            answer: 200,
            view: Some("UP".to_owned()),
            weight: Some("1/3".to_owned()),
            scur: Some(0),
            users: None,
            acknowledged: true,
            why: "its header says UP".to_owned(),
            gone: false,
            remaining: Some(2),
            too_few: None,
            alone: false,
        }],
        traffic: Traffic { in_flight: Some(0), idle: Some(0), ..Traffic::default() },
        readiness: Readiness { ready: Some(true), ..Readiness::default() },
        ..sample::up()
    }
}

/// The owner: publishes first and answers then, as the real one.
async fn play(
    script: Script,
    status: watch::Sender<Arc<Status>>,
    asked: &mut mpsc::Receiver<Ask>,
    requests: &mut Vec<Request>,
) {
    let change = |f: &dyn Fn(&mut Status)| status.send_modify(|status| f(Arc::make_mut(status)));
    let mut id = 40;
    if script == Script::Busy {
        change(&|status| announce(status, 40, Target::Soft, Some(Then::Restart)));
    }
    while let Some(Ask { request, reply, .. }) = asked.recv().await {
        requests.push(request.clone());
        let accepted = |id| Reply::Accepted { drain: Some(id), text: "announced".to_owned() };
        let (target, options) = match (script, request) {
            (Script::Refusing, _) => {
                let text = "1 server would remain, and min_remaining is 2".to_owned();
                reply.send(Reply::Refused { name: "too_few_remain".to_owned(), text }).unwrap();
                continue;
            }
            (_, Request::Up | Request::UpByForce | Request::Return(_)) => {
                change(&|status| end(status, id, Outcome::Done, "up again"));
                reply.send(accepted(id)).unwrap();
                continue;
            }
            (Script::Busy, Request::Soft(_) | Request::Hard(_)) => {
                let text = "drain 40 is under way".to_owned();
                reply.send(Reply::Already { drain: Some(40), text }).unwrap();
                change(&|status| end(status, 40, Outcome::Done, "restarted in 2s"));
                continue;
            }
            (_, Request::Soft(options)) => (Target::Soft, options),
            (_, Request::Hard(options)) => (Target::Hard, options),
        };
        id += 1;
        change(&|status| announce(status, id, target, options.then.clone()));
        // Who asked may have gone.
        let _gone = reply.send(accepted(id));
        match (script, options.then) {
            (Script::Stuck, _) => {}
            (Script::Failing, _) => change(&|status| {
                end(status, id, Outcome::Failed, "the restart failed: exit status 1");
                status.drains.last_mut().unwrap().output = Some("Syntax error on line 7\n".to_owned());
            }),
            (_, Some(Then::Restart)) => change(&|status| end(status, id, Outcome::Done, "restarted in 2s")),
            (_, _) => change(&|status| {
                status.asked.as_mut().unwrap().reached = true;
                status.traffic.quiet_seconds = Some(3.0);
            }),
        }
    }
}

fn announce(status: &mut Status, id: u64, what: Target, then: Option<Then>) {
    (status.phase, status.answer) = match what {
        Target::Soft => (Phase::Soft, 404),
        Target::Hard => (Phase::Hard, 500),
    };
    status.generation += 1;
    status.limit = Some(Limit { waits_for: Wait::Quiet, seconds_left: 30.0, then: "hard".to_owned() });
    status.asked = Some(Asked {
        until_unix: None,
        drain: id,
        what,
        then,
        origin: Origin::Agent,
        reason: None,
        since_unix: 1000,
        reached: false,
        limit_passed: None,
        again: false,
        stopped: false,
        command: None,
    });
}

fn end(status: &mut Status, id: u64, outcome: Outcome, text: &str) {
    (status.phase, status.answer) =
        if outcome == Outcome::Failed { (Phase::Failed, 500) } else { (Phase::Up, 200) };
    status.generation += 1;
    (status.asked, status.limit) = (None, None);
    let text = text.to_owned();
    status.drains.push(Drain {
        id,
        outcome,
        text,
        ended_unix: 1,
        then: None,
        restart_seconds: None,
        output: None,
        users_back_seconds: None,
    });
}
