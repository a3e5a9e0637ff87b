//! A server that the agent can't ask.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_server_that_can_not_be_asked_any_more_stays_what_it_was_and_that_is_told() {
    let mut agent = Agent::up("unasked").await;
    agent.fake.world(|world| world.unasked = true);
    time::sleep(Duration::from_mins(1)).await;
    assert_eq!(agent.phase(), Phase::Up);
    let status = agent.status.borrow().clone();
    assert_eq!(status.readiness.ready, None, "not known");
    assert!(status.warnings.iter().any(|warning| warning.contains("permission denied")), "{status:?}");
    // What it says once it is asked again counts.
    agent.fake.world(|world| (world.unasked, world.ready) = (false, false));
    agent.reach(Phase::Down).await;
    let answer = agent.answer.borrow().clone().unwrap();
    assert!(answer.reason.contains("does not answer its readiness probe"), "{}", answer.reason);
    time::sleep(Duration::from_secs(1)).await;
    assert!(agent.status.borrow().warnings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_was_never_asked_is_not_taken_for_ready_and_a_drain_of_it_is_not_cut_short() {
    let fake = fake();
    fake.world(|world| world.unasked = true);
    let mut agent = Agent::start_in(Scratch::new("never_asked"), fake).await;
    agent.reach(Phase::Down).await;
    let answer = agent.answer.borrow().clone().unwrap();
    assert!(answer.reason.contains("is not known"), "{}", answer.reason);
    // Who works on something is waited for, as nobody knows that the server is dead.
    agent.fake.world(|world| world.reading = Ok(BUSY));
    agent.signal(Wish::Soft).await;
    time::sleep(Duration::from_secs(20)).await;
    assert_eq!(agent.phase(), Phase::Down, "soft still: one that is known to be dead becomes hard at once");
}
