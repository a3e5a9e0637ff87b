//! What those see who ask for the status or watch it.

use super::*;

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
