//! A drain from its request to its end, and what refuses it.

use super::*;

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
