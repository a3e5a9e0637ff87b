//! What is no acknowledgement although nobody has asked for long.

use super::*;

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
        way: crate::health::Way::Http,
        asks: None,
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
