//! What an agent does that finds the state of another.

use super::*;

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
    let inlets = Inlets { checks, asks, looks, signals, faults: watch::channel(Present::new()).1 };
    let (owner, answer, _status) =
        Owner::begin(config(&directory, ""), fake, inlets, Counters::default()).await;
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
async fn an_agent_that_stops_in_a_drain_leaves_it_to_the_next() {
    let mut agent = Agent::up("stop").await;
    agent.signal(Wish::Soft).await;
    agent.reach(Phase::Soft).await;
    agent.signal(Wish::Stop).await;
    (&mut agent.owner).await.unwrap();
    assert!(agent.written().contains("\"soft\":{\"drain\""));
}

#[tokio::test(start_paused = true)]
async fn who_will_be_told_drain_in_the_agent_protocol_is_written_down_before() {
    let lines = "agent_check.listen = '127.0.0.1:2'";
    let agent = Agent::start_with(Scratch::new("debts"), fake(), lines).await;
    time::sleep(Duration::from_secs(40)).await;
    let owed = |agent: &Agent| agent.written().contains(r#""owed":{"10.0.0.1":"#);
    assert!(matches!(agent.ask(Request::Hard(Options::default())).await, Reply::Accepted { .. }));
    assert!(!owed(&agent), "hard says nothing of drain");
    agent.ask(Request::Up).await;
    time::sleep(Duration::from_secs(40)).await;
    assert!(matches!(agent.ask(Request::Soft(Options::default())).await, Reply::Accepted { .. }));
    assert!(owed(&agent), "{}", agent.written());
    agent.ask(Request::Up).await;
    assert!(!owed(&agent), "nobody was told: {}", agent.written());
}

#[tokio::test(start_paused = true)]
async fn as_long_as_others_may_be_told_drain_the_next_agent_is_told_so() {
    let lines = "agent_check.listen = '127.0.0.1:2'";
    let agent = Agent::start_with(Scratch::new("others"), fake(), lines).await;
    time::sleep(Duration::from_secs(40)).await;
    let open = |agent: &Agent| agent.written().contains(r#""open":true"#);
    for wish in [Request::Hard(Options::default()), Request::Up] {
        let before = open(&agent);
        agent.ask(Request::Soft(Options::default())).await;
        assert!(!before && open(&agent), "{}", agent.written());
        agent.ask(wish).await;
        assert!(open(&agent), "it was written before the answer changed: {}", agent.written());
        time::sleep(Duration::from_secs(6)).await;
        assert!(!open(&agent), "{}", agent.written());
        agent.ask(Request::Up).await;
        time::sleep(Duration::from_secs(40)).await;
    }
}
