//! The owner in a world of its own: time is tokio's and stands still until everybody waits.

mod acknowledgement;
mod drain;
mod endings;
mod hearing;
mod probed;
mod quiet;
mod recovery;
mod report;
mod restart;
mod sources;
mod status;

use std::{
    fs,
    num::NonZeroU16,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time,
};

use super::*;
use crate::{
    clock::Moment,
    config::Config,
    control::api::Reply,
    lifecycle::{Options, Origin, Outcome, Phase, Replaced, Request, Then},
    metrics::Counters,
    report::Peer,
    restart::{Identity, Process},
    scratch::Scratch,
    signals::Wish,
    state,
    traffic::{
        LastWord, Reading, Silence,
        sockets::{Door, Left, Looks},
    },
};

/// What looks find, by the time that has passed since the last request.
type Since = fn(Duration) -> Reading;

/// What the fake outside shows and counts.
struct World {
    reading: Result<Reading, String>,
    /// What the configured sources find.
    read: Vec<Result<Reading, String>>,
    reads: u32,
    /// How late they are.
    late: Duration,
    /// How many probes and readings are under way, and how often there was one when another began.
    asking: u32,
    together: u32,
    ready: bool,
    /// The server can't be asked.
    unasked: bool,
    restart: Result<(), String>,
    restarts: Vec<Moment>,
    /// When the last request has ended, and what looks find by the time since then.
    ended: Option<(Moment, Since)>,
    looks: u32,
    /// How long they take.
    looking: Duration,
    replaced: Replaced,
    /// What each restart was to do.
    thens: Vec<Then>,
    /// How long the warm-up takes, and what goes wrong in it.
    warm_up: (Duration, Vec<String>),
    warm_ups: u32,
    /// How long it takes from the end of the restart's command to the proof.
    proof: Duration,
    identity: Result<Identity, String>,
    identified: u32,
    /// How long it takes to look the processes up.
    identifying: Duration,
    /// Which processes each restart was to replace.
    before: Vec<Identity>,
    /// For so long nothing has run, as when the host was paused.
    paused: Duration,
}

#[derive(Clone)]
struct Fake {
    start: time::Instant,
    world: Arc<Mutex<World>>,
}

/// The state file's name.
const STATE: &str = "state.json";

/// How long the fake restart takes.
const RESTART: Duration = Duration::from_millis(700);

impl Fake {
    fn world<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        f(&mut self.world.lock().unwrap())
    }
}

impl Fake {
    /// As long as a request takes, which is answered so late.
    async fn ask(&self, late: Duration) {
        self.world(|world| {
            world.together += world.asking;
            world.asking += 1;
        });
        time::sleep(Duration::from_millis(5) + late).await;
        self.world(|world| world.asking -= 1);
    }
}

impl Outside for Fake {
    fn now(&self) -> Moment {
        let paused = self.world(|world| world.paused);
        Moment::from_boot(Duration::from_secs(1000) + self.start.elapsed() + paused)
    }

    fn unix(&self) -> u64 {
        1_700_000_000 + self.start.elapsed().as_secs()
    }

    fn jitter(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn look(&self, looks: Looks) -> Result<Reading, String> {
        let now = self.now();
        let looking = self.world(|world| world.looking);
        time::sleep(looking).await;
        // As the sockets have it: what has ended before one that stands for itself, nobody knows.
        if looks == Looks::Seldom && looking > Duration::ZERO {
            return Ok(Reading { ended: Some(LastWord::UNKNOWN), ..EMPTY });
        }
        self.world(|world| {
            world.looks += 1;
            match world.ended {
                Some((at, after)) => Ok(after(now.since(at))),
                None => world.reading.clone(),
            }
        })
    }

    async fn left(&self) -> Result<Left, String> {
        let reading = self.world(|world| world.reading.clone())?;
        let address = [10, 0, 0, 9].into();
        let peer = Peer { address, in_flight: reading.in_flight(), idle: reading.idle() };
        Ok(Left { reading, peers: Vec::from_iter((reading.open() > 0).then_some(peer)) })
    }

    async fn read(&self, index: usize) -> Result<Reading, String> {
        self.ask(self.world(|world| world.late)).await;
        self.world(|world| {
            world.reads += 1;
            world.read.get(index).cloned().unwrap_or_else(|| Err("unknown".into()))
        })
    }

    async fn probe(&self) -> Result<(), Unready> {
        self.ask(Duration::ZERO).await;
        self.world(|world| match world.unasked {
            true => Err(Unready::Unknown("permission denied".into())),
            false if world.ready => Ok(()),
            false => Err(Unready::Not("refused".into())),
        })
    }

    async fn identity(&self) -> Result<Identity, String> {
        let (identity, takes) = self.world(|world| {
            world.identified += 1;
            (world.identity.clone(), world.identifying)
        });
        time::sleep(takes).await;
        identity
    }

    async fn warm_up(&self) -> Vec<String> {
        let (takes, failed) = self.world(|world| {
            world.warm_ups += 1;
            world.warm_up.clone()
        });
        time::sleep(takes).await;
        failed
    }

    async fn restart(&self, restart: state::Restart, progress: Progress) -> Restarted {
        let now = self.now();
        self.world(|world| {
            world.restarts.push(now);
            world.before.push(restart.before);
            world.thens.push(restart.then);
        });
        progress.begun(Process { pid: 1, started_seconds: 1, name: "restart".into() }).await;
        time::sleep(RESTART).await;
        progress.ended().await;
        let proof = self.world(|world| world.proof);
        time::sleep(proof).await;
        Restarted { result: self.world(|world| world.restart.clone()), output: Some("said".into()) }
    }

    async fn left_behind(&self, restart: &mut state::Restart) -> Replaced {
        if restart.has_ended { Replaced::UnderWay } else { self.world(|world| world.replaced) }
    }

    async fn await_left_behind(&self, _restart: state::Restart) -> Restarted {
        time::sleep(RESTART).await;
        Restarted { result: Ok(()), output: None }
    }

    fn reload(&self) -> Result<(Config, Self), String> {
        Err("it is wrong".into())
    }
}

/// An agent without endpoint and socket, and one balancer that acts like `HAProxy` with `fall 1`.
struct Agent {
    fake: Fake,
    directory: Scratch,
    answer: watch::Receiver<Option<Answer>>,
    status: watch::Receiver<Arc<Status>>,
    asks: mpsc::Sender<Ask>,
    looks: mpsc::Sender<oneshot::Sender<()>>,
    signals: mpsc::Sender<Signal>,
    checks: mpsc::Sender<Check>,
    owner: JoinHandle<()>,
    balancer: JoinHandle<()>,
}

/// `lines` are of `[drain]`, or begin with `restart.`, `run.`, `server.` or `agent_check.`.
fn config(directory: &Scratch, lines: &str) -> Config {
    let (others, drain): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| {
        ["restart.", "run.", "server.", "agent_check."].iter().any(|key| line.starts_with(key))
    });
    let text = format!(
        "listen = '127.0.0.1:1'\nstate = '{}'\nserver.ports = [80]\nrestart.command = ['true']\n{}\n\
         [drain]\nsoft = {{ quiet = '20s', limit = '60s' }}\n{}",
        directory.join(STATE).display(),
        others.join("\n"),
        drain.join("\n"),
    );
    Config::parse("test", &text, Some("shop")).unwrap()
}

fn fake() -> Fake {
    let world = World {
        reading: Ok(Reading::default()),
        read: Vec::new(),
        reads: 0,
        late: Duration::ZERO,
        asking: 0,
        together: 0,
        ready: true,
        unasked: false,
        restart: Ok(()),
        restarts: Vec::new(),
        ended: None,
        looks: 0,
        looking: Duration::ZERO,
        replaced: Replaced::Perhaps,
        thens: Vec::new(),
        warm_up: (Duration::ZERO, Vec::new()),
        warm_ups: 0,
        proof: Duration::ZERO,
        identity: Ok(Identity::default()),
        identified: 0,
        identifying: Duration::ZERO,
        before: Vec::new(),
        paused: Duration::ZERO,
    };
    Fake { start: time::Instant::now(), world: Arc::new(Mutex::new(world)) }
}

impl Agent {
    async fn start(test: &str) -> Self {
        Self::start_in(Scratch::new(test), fake()).await
    }

    async fn start_in(directory: Scratch, fake: Fake) -> Self {
        Self::start_with(directory, fake, "").await
    }

    async fn start_with(directory: Scratch, fake: Fake, lines: &str) -> Self {
        let config = config(&directory, lines);
        let (checks_in, checks) = mpsc::channel(1024);
        let (asks, asks_out) = mpsc::channel(16);
        let (looks, looks_out) = mpsc::channel(16);
        let (signals, signals_out) = mpsc::channel(16);
        let inlets = Inlets {
            checks,
            asks: asks_out,
            looks: looks_out,
            signals: signals_out,
            faults: watch::channel(Present::new()).1,
        };
        let (owner, answer, status) = Owner::begin(config, fake.clone(), inlets, Counters::default()).await;
        let owner = tokio::spawn(owner.run());
        let balancer = tokio::spawn(balance(fake.clone(), answer.clone(), checks_in.clone()));
        Self { fake, directory, answer, status, asks, looks, signals, checks: checks_in, owner, balancer }
    }

    /// Up and known to its balancer for long.
    async fn up(test: &str) -> Self {
        let agent = Self::start(test).await;
        time::sleep(Duration::from_secs(40)).await;
        assert_eq!(agent.phase(), Phase::Up);
        agent
    }

    fn phase(&self) -> Phase {
        self.answer.borrow().as_ref().unwrap().phase
    }

    async fn reach(&mut self, phase: Phase) {
        let is = |answer: &Option<Answer>| answer.as_ref().is_some_and(|answer| answer.phase == phase);
        time::timeout(Duration::from_mins(5), self.answer.wait_for(is)).await.expect("in time").unwrap();
    }

    async fn ask(&self, request: Request) -> Reply {
        let (reply, answer) = oneshot::channel();
        let origin = Origin::Control { pid: None, uid: 0, gid: 0 };
        self.asks.send(Ask { request, origin, reply }).await.unwrap();
        answer.await.unwrap()
    }

    async fn signal(&self, wish: Wish) {
        let signal = Signal { wish, name: "SIGUSR1", pid: Some(7), uid: Some(0) };
        self.signals.send(signal).await.unwrap();
    }

    fn written(&self) -> String {
        fs::read_to_string(self.directory.join(STATE)).unwrap()
    }

    /// As SIGKILL does it.
    async fn kill(self) -> (Scratch, Fake) {
        self.owner.abort();
        self.balancer.abort();
        let _ = self.owner.await;
        (self.directory, self.fake)
    }
}

fn restart() -> Request {
    Request::Soft(Options { then: Some(Then::Restart), ..Options::default() })
}

async fn balance(fake: Fake, answer: watch::Receiver<Option<Answer>>, checks: mpsc::Sender<Check>) {
    let mut view = "UP";
    loop {
        time::sleep(Duration::from_millis(500)).await;
        let Some(given) = answer.borrow().clone() else { continue };
        let total = if view == "UP" { 30 } else { 20 };
        let check = Check {
            way: crate::health::Way::Http,
            asks: None,
            at: fake.now(),
            source: ([10, 0, 0, 1], 4711).into(),
            state: Some(format!("{view}; node=lb1; name=b/s; weight=10/{total}; scur=0/0")),
            status: given.status,
            generation: given.generation,
        };
        view = match given.status {
            200 => "UP",
            404 if view != "DOWN" => "NOLB",
            _ => "DOWN",
        };
        if checks.send(check).await.is_err() {
            return;
        }
    }
}

const BUSY: Reading = Reading { busy: 1, ..EMPTY };

const EMPTY: Reading = Reading::EMPTY;
