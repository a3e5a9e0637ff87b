//! The sources of traffic beside the sockets.

use super::*;
use crate::control::api::Verdict;

const GAUGE: &str = "hard = { quiet = '5s', limit = '60s' }
[[traffic]]
gauge = { url = 'http://127.0.0.1:1/' }";

async fn with_gauge(test: &str, reading: Result<Reading, String>) -> Agent {
    let fake = fake();
    fake.world(|world| world.read = vec![reading]);
    let agent = Agent::start_with(Scratch::new(test), fake, GAUGE).await;
    time::sleep(Duration::from_secs(3)).await;
    agent
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_in_the_middle_holds_and_is_said_at_once() {
    let mut agent = with_gauge("source_fails", Ok(EMPTY)).await;
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    let began = agent.fake.now();
    time::sleep(Duration::from_secs(4)).await;
    agent.fake.world(|world| world.read = vec![Err("refused".into())]);
    time::sleep(Duration::from_millis(500)).await;
    assert_eq!(agent.status.borrow().traffic.unknown, ["gauge http://127.0.0.1:1/: refused"]);
    let source = agent.status.borrow().traffic.sources.last().cloned().unwrap();
    assert_eq!((source.verdict, source.why.as_str(), source.in_flight), (Verdict::Unknown, "refused", None));
    agent.reach(Phase::Restarting).await;
    let held = agent.fake.now().since(began);
    assert!(held >= Duration::from_mins(1), "held for {held:?}, and not until the limit");
}

#[tokio::test(start_paused = true)]
async fn what_a_source_counts_holds_until_it_has_been_zero_for_so_long() {
    let mut agent = with_gauge("source_counts", Ok(BUSY)).await;
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    time::sleep(Duration::from_secs(20)).await;
    assert_eq!(agent.phase(), Phase::Hard);
    let source = agent.status.borrow().traffic.sources.last().cloned().unwrap();
    assert_eq!(
        (source.verdict, source.in_flight, source.why.as_str()),
        (Verdict::Holds, Some(1), "1 in flight")
    );
    agent.fake.world(|world| world.read = vec![Ok(EMPTY)]);
    let zero = agent.fake.now();
    agent.reach(Phase::Restarting).await;
    let waited = agent.fake.now().since(zero);
    assert!((5000..5500).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn while_up_sources_are_read_rarely_and_freshly_for_who_asks() {
    let agent = with_gauge("source_rarely", Ok(EMPTY)).await;
    let reads = || agent.fake.world(|world| world.reads);
    let before = reads();
    time::sleep(Duration::from_mins(2)).await;
    assert!((1..=5).contains(&(reads() - before)), "{} readings in two minutes", reads() - before);
    agent.fake.world(|world| world.read = vec![Ok(BUSY)]);
    time::sleep(Duration::from_secs(2)).await;
    let (looked, fresh) = oneshot::channel();
    agent.looks.send(looked).await.unwrap();
    fresh.await.unwrap();
    assert_eq!(agent.status.borrow().traffic.sources.last().unwrap().in_flight, Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_agents_own_requests_do_not_count_each_other() {
    let mut agent = with_gauge("source_alone", Ok(EMPTY)).await;
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    let (reads, together) = agent.fake.world(|world| (world.reads, world.together));
    assert!(reads > 10 && together == 0, "{together} of {reads} readings during a probe");
}

#[tokio::test(start_paused = true)]
async fn a_gauge_that_answers_late_does_not_keep_a_dead_server_from_being_seen() {
    let mut agent = with_gauge("source_late", Ok(BUSY)).await;
    agent.fake.world(|world| world.late = Duration::from_secs(1));
    agent.signal(Wish::Soft).await;
    agent.reach(Phase::Soft).await;
    time::sleep(Duration::from_secs(5)).await;
    agent.fake.world(|world| world.ready = false);
    let died = agent.fake.now();
    agent.reach(Phase::Hard).await;
    let seen = agent.fake.now().since(died);
    assert!(seen < Duration::from_secs(10), "after {seen:?}");
    assert_eq!(agent.fake.world(|world| world.together), 0, "and they still do not count each other");
}
