//! The owner in a world of its own: time is tokio's and stands still until everybody waits.

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
    restart::{Identity, Process},
    scratch::Scratch,
    signals::Wish,
    state,
    traffic::{Reading, Silence},
};

/// What looks find, by the time that has passed since the last request.
type Since = fn(Duration) -> Reading;

/// What the fake outside shows and counts.
struct World {
    reading: Result<Reading, String>,
    ready: bool,
    restart: Result<(), String>,
    restarts: Vec<Moment>,
    /// When the last request has ended, and what looks find by the time since then.
    ended: Option<(Moment, Since)>,
    looks: u32,
    replaced: Replaced,
    /// How long it takes from the end of the restart's command to the proof.
    proof: Duration,
    identity: Result<Identity, String>,
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

    async fn look(&self) -> Result<Reading, String> {
        let now = self.now();
        self.world(|world| {
            world.looks += 1;
            match world.ended {
                Some((at, after)) => Ok(after(now.since(at))),
                None => world.reading.clone(),
            }
        })
    }

    async fn probe(&self) -> Result<(), String> {
        time::sleep(Duration::from_millis(5)).await;
        self.world(|world| if world.ready { Ok(()) } else { Err("refused".into()) })
    }

    async fn identity(&self) -> Result<Identity, String> {
        let (identity, takes) = self.world(|world| (world.identity.clone(), world.identifying));
        time::sleep(takes).await;
        identity
    }

    async fn restart(&self, restart: state::Restart, progress: Progress) -> Restarted {
        let now = self.now();
        self.world(|world| {
            world.restarts.push(now);
            world.before.push(restart.before);
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

fn config(directory: &Scratch, lines: &str) -> Config {
    let text = format!(
        "listen = '127.0.0.1:1'\nstate = '{}'\nserver.ports = [80]\nrestart.command = ['true']\n\
         [drain]\nsoft = {{ quiet = '20s', limit = '60s' }}\n{lines}",
        directory.join(STATE).display()
    );
    Config::parse("test", &text, Some("shop")).unwrap()
}

fn fake() -> Fake {
    let world = World {
        reading: Ok(Reading::default()),
        ready: true,
        restart: Ok(()),
        restarts: Vec::new(),
        ended: None,
        looks: 0,
        replaced: Replaced::Perhaps,
        proof: Duration::ZERO,
        identity: Ok(Identity::default()),
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
        let inlets = Inlets { checks, asks: asks_out, looks: looks_out, signals: signals_out };
        let (owner, answer, status) = Owner::begin(config, fake.clone(), inlets).await;
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

#[tokio::test(start_paused = true)]
async fn a_signal_leads_through_the_whole_drain_and_back() {
    let mut agent = Agent::up("whole").await;
    agent.signal(Wish::Soft).await;
    for phase in [Phase::Soft, Phase::Hard, Phase::Restarting, Phase::Warming, Phase::Up] {
        agent.reach(phase).await;
        assert!(agent.phase() == Phase::Up || agent.written().contains("\"drain\":{\"id\":1"));
    }
    assert_eq!(agent.fake.world(|world| world.restarts.len()), 1);
    let status = agent.status.borrow().clone();
    let ended = status.ended(1).unwrap();
    assert_eq!((ended.outcome, ended.output.as_deref()), (Outcome::Done, Some("said")));
    assert!(ended.restart_seconds.unwrap() >= RESTART.as_secs_f64());
}

#[tokio::test(start_paused = true)]
async fn the_drain_is_written_down_before_the_answer_changes() {
    let mut agent = Agent::up("before").await;
    let (asked, mut answer) = (agent.ask(restart()), agent.answer.clone());
    answer.mark_unchanged();
    let (reply, changed) = tokio::join!(asked, async {
        answer.changed().await.unwrap();
        agent.written()
    });
    assert!(matches!(reply, Reply::Accepted { drain: Some(1), .. }));
    assert!(changed.contains("\"soft\":{\"drain\""), "{changed}");
    agent.reach(Phase::Soft).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_can_not_be_written_down_is_refused() {
    let agent = Agent::up("refused").await;
    fs::remove_dir_all(agent.directory.path()).unwrap();
    let Reply::Refused { name, text } = agent.ask(restart()).await else { panic!("not refused") };
    assert_eq!(name, "state_unwritable");
    assert!(text.contains("state.json"), "{text}");
    assert_eq!(agent.phase(), Phase::Up);
    time::sleep(Duration::from_mins(2)).await;
    assert_eq!(agent.phase(), Phase::Up);
    assert!(agent.fake.world(|world| world.restarts.is_empty()));
}

/// From quiet to the start of the restart it takes so long at most, where the disk and the kernel take no time.
const LATENCY: Duration = Duration::from_millis(50);

/// How long after the last request's end the restart has started, which was `ended` after hard began. Until then
/// the looks find `reading`, and afterwards what `after` says of the time since.
async fn restarted_after(lines: &str, reading: Reading, ended: Duration, after: Since) -> Duration {
    let mut agent = Agent::start_with(Scratch::new("latency"), fake(), lines).await;
    time::sleep(Duration::from_secs(3)).await;
    agent.fake.world(|world| world.reading = Ok(reading));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    time::sleep(ended).await;
    let idle = agent.fake.now();
    agent.fake.world(|world| world.ended = Some((idle, after)));
    agent.reach(Phase::Restarting).await;
    agent.fake.world(|world| world.restarts[0]).since(idle)
}

/// Ends of the last request, in all positions towards the looks and the checks.
fn ends() -> impl Iterator<Item = Duration> {
    (0..8).map(|n| Duration::from_millis(5_000 + 65 * n))
}

const BUSY: Reading = Reading { busy: 1, ..EMPTY };
const EMPTY: Reading = Reading {
    busy: 0,
    unsure: Silence { count: 0, shortest: None },
    answered: Silence { count: 0, shortest: None },
    fresh: 0,
    ended: None,
    deserted: None,
    abandoned: false,
};

#[track_caller]
fn in_time(took: Duration, quiet: Duration, what: &str) {
    assert!(took >= quiet, "{what}: restarted {took:?} after the last request, before {quiet:?} of quiet");
    assert!(took <= quiet + LATENCY, "{what}: restarted {took:?} after the last request, not {quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn from_quiet_to_the_restart_it_takes_at_most_50_ms() {
    let second = "hard = { quiet = '1s' }";
    for ended in ends() {
        let took = restarted_after("", BUSY, ended, |_| EMPTY).await;
        // Every balancer reports zero here: two looks 200 ms apart are what quiet means.
        in_time(took, Duration::from_millis(200), "balancers at zero");
        let took = restarted_after(second, BUSY, ended, |_| EMPTY).await;
        in_time(took, Duration::from_secs(1), "closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_open_delays_the_restart_by_nothing() {
    let second = "hard = { quiet = '1s' }";
    let short_requests =
        Reading { answered: Silence { count: 1, shortest: Some(Duration::from_millis(3)) }, ..EMPTY };
    for ended in ends() {
        let answered = |ago| Reading { answered: Silence { count: 1, shortest: Some(ago) }, ..EMPTY };
        let took = restarted_after(second, short_requests, ended, answered).await;
        in_time(took, Duration::from_secs(1), "answered");
        assert!(took <= Duration::from_millis(1010), "{took:?}: its silence is known exactly");
        let unsure = |ago| Reading { unsure: Silence { count: 1, shortest: Some(ago) }, ..EMPTY };
        let took = restarted_after(second, short_requests, ended, unsure).await;
        in_time(took, Duration::from_secs(1), "perhaps in flight");
    }
}

#[tokio::test(start_paused = true)]
async fn while_up_it_looks_rarely() {
    let agent = Agent::up("rarely").await;
    let before = agent.fake.world(|world| world.looks);
    time::sleep(Duration::from_mins(1)).await;
    let looks = agent.fake.world(|world| world.looks) - before;
    assert!(looks <= 30, "{looks} looks in a minute");
}

#[tokio::test(start_paused = true)]
async fn traffic_that_can_not_be_read_holds_the_drain_until_its_limit() {
    let mut agent = Agent::up("unknown").await;
    agent.fake.world(|world| world.reading = Err("denied".into()));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    time::sleep(Duration::from_secs(29)).await;
    assert_eq!(agent.phase(), Phase::Hard);
    assert_eq!(agent.status.borrow().traffic.unknown, ["denied"]);
    assert_eq!(agent.status.borrow().traffic.in_flight, None);
    agent.reach(Phase::Restarting).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_on_which_nobody_listens_is_unknown_of_a_live_server_and_nothing_of_a_dead_one() {
    let mut agent = Agent::up("deserted").await;
    agent.fake.world(|world| world.reading = Ok(Reading { deserted: NonZeroU16::new(80), ..EMPTY }));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    time::sleep(Duration::from_secs(20)).await;
    assert_eq!(agent.phase(), Phase::Hard);
    let status = agent.status.borrow().clone();
    assert!(status.traffic.unknown[0].contains("port 80"), "{:?}", status.traffic);
    agent.fake.world(|world| world.ready = false);
    let crashed = agent.fake.now();
    agent.reach(Phase::Restarting).await;
    let waited = agent.fake.now().since(crashed);
    assert!(waited < Duration::from_secs(5), "{waited:?}: the limit comes later");
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_restarted_at_once_where_it_listens_no_more() {
    for (abandoned, least, most) in [(true, 0, 4), (false, 30, 40)] {
        let mut agent =
            Agent::start_with(Scratch::new("crashed"), fake(), "hard = { quiet = '30s', limit = '60s' }")
                .await;
        time::sleep(Duration::from_secs(3)).await;
        agent.fake.world(|world| {
            world.ready = false;
            world.reading = Ok(Reading { deserted: NonZeroU16::new(80), abandoned, ..EMPTY });
        });
        agent.reach(Phase::Down).await;
        let asked = agent.fake.now();
        agent.signal(Wish::Soft).await;
        agent.reach(Phase::Restarting).await;
        let waited = agent.fake.now().since(asked).as_secs();
        assert!((least..most).contains(&waited), "{waited} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_paused_takes_nobodys_silence_for_an_acknowledgement() {
    let mut agent = Agent::up("paused").await;
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    agent.fake.world(|world| world.paused = Duration::from_secs(6));
    time::sleep(Duration::from_millis(100)).await;
    assert_eq!(agent.phase(), Phase::Hard);
    assert!(!agent.status.borrow().acknowledged.complete);
    agent.reach(Phase::Restarting).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_waits_is_heard_before_anybody_is_gone() {
    let mut agent = Agent::up("waits").await;
    agent.balancer.abort();
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    let last = agent.fake.now();
    time::sleep(Duration::from_millis(4_400)).await;
    let given = agent.answer.borrow().clone().unwrap();
    let check = Check {
        at: last + Duration::from_secs(4),
        source: ([10, 0, 0, 1], 4711).into(),
        state: Some("UP; node=lb1; name=b/s; weight=10/30".into()),
        status: given.status,
        generation: given.generation,
    };
    agent.checks.try_send(check).unwrap();
    // What is asked comes before checks.
    let signal = Signal { wish: Wish::Hard, name: "SIGUSR2", pid: None, uid: None };
    agent.signals.try_send(signal).unwrap();
    agent.fake.world(|world| world.paused = Duration::from_millis(900));
    time::sleep(Duration::from_millis(100)).await;
    assert_eq!(agent.phase(), Phase::Hard);
    assert!(!agent.status.borrow().acknowledged.complete);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_leaves_the_server_out_and_says_why() {
    let mut agent = Agent::up("failed").await;
    agent.fake.world(|world| world.restart = Err("exit status 1".into()));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Failed).await;
    assert_eq!(agent.answer.borrow().as_ref().unwrap().reason, "exit status 1");
    assert!(matches!(agent.ask(Request::Up).await, Reply::Accepted { .. }));
    agent.reach(Phase::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_restart_that_could_not_be_proved_is_refused_and_the_hold_stays() {
    let mut agent = Agent::up("unproved").await;
    agent.ask(Request::Hard(Options::default())).await;
    agent.reach(Phase::Hard).await;
    time::sleep(Duration::from_secs(20)).await;
    agent.fake.world(|world| world.identity = Err("denied".into()));
    let options = Options { then: Some(Then::Restart), ..Options::default() };
    let Reply::Refused { name, text } = agent.ask(Request::Hard(options)).await else {
        panic!("not refused")
    };
    assert_eq!(name, "server_unknown");
    assert!(text.contains("denied"), "{text}");
    assert_eq!(agent.phase(), Phase::Hard);
}

#[tokio::test(start_paused = true)]
async fn processes_that_were_looked_up_in_an_earlier_drain_are_not_those_to_replace() {
    let mut agent = Agent::up("earlier").await;
    agent.fake.world(|world| world.identifying = Duration::from_millis(1500));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    agent.ask(Request::Up).await;
    agent.reach(Phase::Up).await;
    time::sleep(Duration::from_secs(1)).await;
    let new = Process { pid: 2, started_seconds: 2, name: "new".into() };
    let new = Identity { main: vec![new], workers: Vec::new() };
    agent.fake.world(|world| world.identity = Ok(new));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    assert_eq!(agent.fake.world(|world| world.before[0].main.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_has_said_belongs_to_its_drain_alone() {
    let mut agent = Agent::up("said").await;
    agent.fake.world(|world| world.restart = Err("exit status 1".into()));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Failed).await;
    agent.ask(Request::Up).await;
    agent.ask(Request::Hard(Options::default())).await;
    agent.reach(Phase::Hard).await;
    agent.ask(Request::Up).await;
    agent.reach(Phase::Up).await;
    let status = agent.status.borrow().clone();
    let output = |id| status.ended(id).unwrap().output.clone();
    assert_eq!((output(1).as_deref(), output(2)), (Some("said"), None));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_anywhere_carries_on_and_restarts_once() {
    for phase in [Phase::Soft, Phase::Hard, Phase::Restarting, Phase::Warming] {
        for replaced in [Replaced::Perhaps, Replaced::UnderWay] {
            let mut agent = Agent::up("killed").await;
            agent.signal(Wish::Soft).await;
            agent.reach(phase).await;
            let began = agent.fake.world(|world| world.restarts.len());
            let (directory, fake) = agent.kill().await;
            fake.world(|world| world.replaced = replaced);
            let mut agent = Agent::start_in(directory, fake).await;
            agent.reach(Phase::Up).await;
            let restarts = agent.fake.world(|world| world.restarts.len());
            assert_eq!(restarts, 1.max(began), "killed in {phase:?}");
            assert_eq!(agent.status.borrow().ended(1).map(|drain| drain.outcome), Some(Outcome::Done));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_between_the_command_and_its_proof_restarts_once() {
    let mut agent = Agent::up("unproved_yet").await;
    agent.fake.world(|world| world.proof = Duration::from_secs(5));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    time::sleep(RESTART / 2).await;
    assert!(agent.written().contains("\"has_ended\":false"), "{}", agent.written());
    time::sleep(RESTART).await;
    assert!(agent.written().contains("\"has_ended\":true"), "{}", agent.written());
    let (directory, fake) = agent.kill().await;
    // What was to be replaced is still there, and no command runs: so it looks as if nothing had happened.
    fake.world(|world| world.replaced = Replaced::Not);
    let mut agent = Agent::start_in(directory, fake).await;
    agent.reach(Phase::Up).await;
    assert_eq!(agent.fake.world(|world| world.restarts.len()), 1);
    assert_eq!(agent.status.borrow().ended(1).map(|drain| drain.outcome), Some(Outcome::Done));
}

#[tokio::test(start_paused = true)]
async fn after_the_hosts_restart_the_balancers_are_not_asked_for_what_was_announced_before() {
    let mut agent = Agent::up("rebooted").await;
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    let written = agent.written().replace(&state::boot_id(), "another");
    let (directory, fake) = agent.kill().await;
    fs::write(directory.join(STATE), written).unwrap();
    let (_, checks) = mpsc::channel(1);
    let (_, asks) = mpsc::channel(1);
    let (_, looks) = mpsc::channel(1);
    let (_, signals) = mpsc::channel(1);
    let inlets = Inlets { checks, asks, looks, signals };
    let (owner, answer, _status) = Owner::begin(config(&directory, ""), fake, inlets).await;
    assert_eq!(answer.borrow().as_ref().map(|answer| answer.phase), Some(Phase::Warming));
    assert_eq!(owner.core.table.announced(), None);
}

#[tokio::test(start_paused = true)]
async fn a_state_file_that_can_not_be_read_holds_with_404_until_up() {
    let directory = Scratch::new("garbled");
    fs::write(directory.join(STATE), "garbled").unwrap();
    let mut agent = Agent::start_in(directory, fake()).await;
    time::sleep(Duration::from_secs(200)).await;
    assert_eq!(agent.answer.borrow().as_ref().map(|answer| answer.status), Some(404));
    assert!(!agent.status.borrow().warnings.is_empty());
    assert!(matches!(agent.ask(Request::Up).await, Reply::Accepted { .. }));
    agent.reach(Phase::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dead_from_the_start_is_down() {
    let fake = fake();
    fake.world(|world| world.ready = false);
    let mut agent = Agent::start_in(Scratch::new("dead"), fake).await;
    agent.reach(Phase::Down).await;
    agent.fake.world(|world| world.ready = true);
    agent.reach(Phase::Up).await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_wrong_leaves_the_old_one() {
    let agent = Agent::up("reload").await;
    agent.signal(Wish::Reload).await;
    time::sleep(Duration::from_secs(5)).await;
    assert_eq!(agent.phase(), Phase::Up);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stops_in_a_drain_leaves_it_to_the_next() {
    let mut agent = Agent::up("stop").await;
    agent.signal(Wish::Soft).await;
    agent.reach(Phase::Soft).await;
    agent.signal(Wish::Stop).await;
    (&mut agent.owner).await.unwrap();
    assert!(agent.written().contains("\"soft\":{\"drain\""));
}

#[tokio::test(start_paused = true)]
async fn watchers_are_not_woken_by_the_clock() {
    let mut agent = Agent::up("still").await;
    agent.status.mark_unchanged();
    time::sleep(Duration::from_secs(30)).await;
    assert!(!agent.status.has_changed().unwrap());
    let last = agent.status.borrow().balancers[0].last_seconds;
    assert!(last < 1.5, "{last}");
}

#[tokio::test(start_paused = true)]
async fn while_a_drain_waits_the_status_shows_what_is_so_now() {
    let mut agent = Agent::up("fresh_out").await;
    agent.fake.world(|world| world.reading = Ok(BUSY));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    for busy in [3, 3, 1, 0] {
        agent.fake.world(|world| world.reading = Ok(Reading { busy, ..EMPTY }));
        time::sleep(Duration::from_millis(300)).await;
        let traffic = agent.status.borrow().seen_at(agent.fake.now()).traffic;
        assert_eq!(traffic.in_flight, Some(busy));
        assert!(traffic.age_seconds.unwrap() < 0.3, "{traffic:?}");
        // The longest that the same status may stand before watchers.
        time::timeout(Duration::from_millis(1300), agent.status.changed()).await.expect("news").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn while_up_who_asks_gets_a_fresh_look() {
    let agent = Agent::up("fresh_up").await;
    time::sleep(Duration::from_secs(3)).await;
    agent.fake.world(|world| world.reading = Ok(Reading { busy: 5, ..EMPTY }));
    let (looked, fresh) = oneshot::channel();
    agent.looks.send(looked).await.unwrap();
    fresh.await.unwrap();
    let traffic = agent.status.borrow().seen_at(agent.fake.now()).traffic;
    assert_eq!(traffic.in_flight, Some(5));
    assert!(traffic.age_seconds.unwrap() < 0.1, "{traffic:?}");
}
