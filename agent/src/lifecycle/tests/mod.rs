//! Tests of the machine: each edge, what requests mean, recovery, and a property test.

mod edges;
mod endings;
mod guard;
mod limit;
mod property;
mod recovery;
mod requests;
mod shadow;

use std::time::Duration;

use super::*;
use crate::{
    clock::Moment,
    config::{Acknowledge, AtAcknowledgeLimit, AtHardLimit, Hard, OnFailure, Soft},
};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(second: u64) -> Moment {
    Moment::from_boot(seconds(1000 + second))
}

fn rules() -> Rules {
    Rules {
        acknowledge: Acknowledge { limit: seconds(60), at_limit: AtAcknowledgeLimit::Abort },
        soft: Soft { quiet: seconds(300), limit: seconds(1800) },
        hard: Hard {
            quiet: seconds(3),
            quiet_is_default: true,
            limit: seconds(30),
            at_limit: AtHardLimit::Restart,
        },
        rise: 2,
        fall: 3,
        ready_deadline: seconds(60),
        restart_limit: seconds(120),
        then: Then::Restart,
        can_stop: true,
        runs: vec![("upgrade".into(), seconds(240))],
        retries: 0,
        retry_after: seconds(5),
        on_failure: OnFailure::Stay,
        warm_up: None,
    }
}

fn signal() -> Origin {
    Origin::Signal { signal: "SIGUSR1".into(), pid: Some(1), uid: Some(0) }
}

fn person() -> Origin {
    Origin::Control { pid: Some(1), uid: 0, gid: 0 }
}

fn restart() -> Request {
    Request::Soft(Options { then: Some(Then::Restart), ..Options::default() })
}

fn soft() -> Request {
    Request::Soft(Options::default())
}

fn hard() -> Request {
    Request::Hard(Options::default())
}

fn hard_restart() -> Request {
    Request::Hard(Options { then: Some(Then::Restart), ..Options::default() })
}

fn forced(options: Options) -> Options {
    Options { force: true, ..options }
}

/// A machine in a world that a test sets.
#[expect(clippy::struct_excessive_bools, reason = "facts that are so or not, each set by itself")]
struct World {
    machine: Machine,
    now: u64,
    /// When the host was last started: moments count from then.
    booted: u64,
    acknowledged: bool,
    acknowledged_for: Option<Announcement>,
    enough: bool,
    /// Another server of the host is out.
    others_out: bool,
    /// Whoever was to run a command has gone.
    caller_gone: bool,
    /// Nobody can tell yet whether others go at the same time.
    unconfirmed: bool,
    /// Since when it is quiet; `None`: busy.
    quiet: Option<u64>,
    /// The traffic can't be read.
    unknown: bool,
    empty: bool,
    /// Since when nobody listens or is connected.
    abandoned: Option<u64>,
    transitions: Vec<(Stage, Stage)>,
    restarts: Vec<u64>,
    warm_ups: Vec<u64>,
    /// How often something began that cut what was in flight.
    cuts: u32,
    ended: Vec<(u64, Outcome)>,
    warnings: Vec<String>,
}

impl World {
    /// A server that is up, with traffic.
    fn up() -> Self {
        Self::with(rules())
    }

    fn with(rules: Rules) -> Self {
        let mut world = Self::of(Machine::new(rules));
        world.probe(true);
        world
    }

    fn of(machine: Machine) -> Self {
        Self {
            machine,
            now: 0,
            booted: 0,
            acknowledged: false,
            acknowledged_for: None,
            enough: true,
            others_out: false,
            caller_gone: false,
            unconfirmed: false,
            quiet: None,
            unknown: false,
            empty: false,
            abandoned: None,
            transitions: Vec::new(),
            restarts: Vec::new(),
            warm_ups: Vec::new(),
            cuts: 0,
            ended: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn view(&self) -> View {
        View {
            acknowledged: if self.acknowledged
                || (self.acknowledged_for.is_some() && self.acknowledged_for == self.machine.announcement())
            {
                Acknowledgement::Complete
            } else {
                Acknowledgement::Pending { missing: "lb1".into() }
            },
            remaining: match (self.enough, self.unconfirmed) {
                (true, false) => Remaining::Enough,
                (true, true) => Remaining::Unconfirmed("lb1 has yet to show it".into()),
                (false, _) => Remaining::TooFew("lb1 has none left".into()),
            },
            traffic: match self.quiet {
                _ if self.unknown => Traffic::Unknown("denied".into()),
                None => Traffic::Busy("1 in flight".into()),
                Some(since) => Traffic::Quiet {
                    since: self.at(since),
                    previous: self.at(self.now),
                    last: self.at(self.now),
                    empty: self.empty.then(|| self.at(self.now)),
                    abandoned: self.abandoned.map(|since| self.at(since)),
                },
            },
            jitter: seconds(5),
            caller_gone: self.caller_gone,
            others_out: self.others_out.then(|| "blog is out".to_owned()),
            unix: self.unix(),
        }
    }

    /// A second of the world, as the machine's clock has it since the host's start.
    fn at(&self, second: u64) -> Moment {
        at(second).before(seconds(self.booted))
    }

    /// The wall clock.
    fn unix(&self) -> u64 {
        1_700_000_000 + self.now
    }

    fn step(&mut self, event: Event) -> Result<Option<Said>, Refusal> {
        let effects = self.machine.step(at(self.now), event)?;
        self.transitions
            .extend(effects.transitions.iter().map(|transition| (transition.from, transition.to)));
        self.restarts.extend(effects.restart);
        self.warm_ups.extend(effects.warm_up);
        self.cuts += u32::from(effects.cuts);
        self.ended.extend(effects.ended.iter().map(|ended| (ended.id, ended.outcome)));
        self.warnings.extend(effects.warnings);
        Ok(effects.said)
    }

    /// Lets `n` seconds pass.
    fn pass(&mut self, n: u64) {
        for _ in 0..n {
            self.now += 1;
            self.see();
        }
    }

    fn see(&mut self) {
        let view = self.view();
        self.step(Event::Seen(view)).unwrap();
    }

    fn ask(&mut self, request: Request) -> Result<Said, Refusal> {
        self.ask_as(request, person())
    }

    fn ask_as(&mut self, request: Request, origin: Origin) -> Result<Said, Refusal> {
        // An acknowledgement belongs to what is announced already.
        self.see();
        self.acknowledged = false;
        let unix = self.unix();
        self.step(Event::Asked { request, origin, unix }).map(|said| said.expect("an answer"))
    }

    fn probe(&mut self, passed: bool) {
        self.step(Event::Probed { began: at(self.now), passed }).unwrap();
    }

    fn dies(&mut self) {
        for _ in 0..3 {
            self.probe(false);
        }
    }

    /// Every balancer acts on the present announcement, and on none that follows.
    fn acknowledge(&mut self) {
        self.acknowledged_for = self.machine.announcement();
        self.see();
    }

    fn restart_ends(&mut self, result: Result<(), &str>) {
        let result = result.map_err(ToOwned::to_owned);
        self.step(Event::RestartEnded { result, took: Some(seconds(7)) }).unwrap();
    }

    /// Quiet for long, so that only acknowledgements are missing.
    fn falls_quiet(&mut self) {
        self.quiet = Some(self.now);
    }

    /// Of whose server, which is up and in use, this has just been asked.
    fn asked(request: Request) -> Self {
        let mut world = Self::up();
        world.ask(request).unwrap();
        world
    }

    /// The same, and every balancer acts on it.
    fn acknowledged(request: Request) -> Self {
        let mut world = Self::asked(request);
        world.acknowledge();
        world
    }

    /// From up to restarting, by way of soft and hard.
    fn restarting() -> Self {
        let mut world = Self::acknowledged(restart());
        world.ask(hard()).unwrap();
        world.acknowledge();
        world.falls_quiet();
        world.pass(3);
        assert_eq!(world.stage(), Stage::Restarting);
        world
    }

    fn warming() -> Self {
        let mut world = Self::restarting();
        world.restart_ends(Ok(()));
        world
    }

    fn failed() -> Self {
        let mut world = Self::restarting();
        world.restart_ends(Err("exit status 1"));
        world
    }

    fn waiting() -> Self {
        let mut world = Self::asked(restart());
        world.enough = false;
        world.see();
        world
    }

    fn stage(&self) -> Stage {
        self.machine.course().stage()
    }

    fn phase(&self) -> Option<Phase> {
        phase(self.stage(), self.machine.server())
    }

    fn drain(&self) -> &Drain {
        self.machine.course().drain().expect("a drain is under way")
    }
}
