//! When the traffic is taken for zero, and how soon the restart follows.

use super::*;

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
        let took = restarted_after("hard = { quiet = '0s' }", BUSY, ended, |_| EMPTY).await;
        in_time(took, Duration::ZERO, "no quiet");
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
    assert_eq!(agent.status.borrow().traffic.unknown, ["sockets: denied"]);
    assert_eq!(agent.status.borrow().traffic.in_flight, None);
    agent.reach(Phase::Restarting).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_on_which_nobody_listens_is_unknown_of_a_live_server_and_nothing_of_a_dead_one() {
    let mut agent = Agent::up("deserted").await;
    agent.fake.world(|world| {
        world.reading = Ok(Reading { deserted: NonZeroU16::new(80).map(Door::Port), ..EMPTY });
    });
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
            world.reading = Ok(Reading { deserted: NonZeroU16::new(80).map(Door::Port), abandoned, ..EMPTY });
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
async fn a_drain_becomes_quiet_however_long_its_looks_take() {
    for looking in [Duration::from_millis(600), Duration::from_secs(2)] {
        let fake = fake();
        fake.world(|world| world.looking = looking);
        let lines = "hard = { quiet = '3s', limit = '60s', at_limit = 'abort' }";
        let mut agent = Agent::start_with(Scratch::new("slow_looks"), fake, lines).await;
        time::sleep(Duration::from_secs(40)).await;
        agent.signal(Wish::Hard).await;
        agent.reach(Phase::Hard).await;
        // At its limit it would go up.
        agent.reach(Phase::Restarting).await;
    }
}
