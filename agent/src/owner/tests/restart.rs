//! The restart: what it replaces, what it says, and how it fails.

use super::*;

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
    let new = Identity { main: vec![new], ..Identity::default() };
    agent.fake.world(|world| world.identity = Ok(new));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    assert_eq!(agent.fake.world(|world| world.before[0].main.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn processes_that_can_not_be_told_are_not_looked_for_without_a_pause() {
    let mut agent = Agent::up("untold").await;
    agent.fake.world(|world| {
        world.identity = Err("denied".into());
        world.identifying = Duration::from_millis(5);
        world.reading = Ok(BUSY);
    });
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    time::sleep(Duration::from_secs(10)).await;
    let identified = agent.fake.world(|world| world.identified);
    assert!((5..=12).contains(&identified), "{identified} times in 10 s");
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
async fn a_further_restart_that_could_not_be_proved_is_given_up_and_the_first_goes_on() {
    for phase in [Phase::Restarting, Phase::Warming] {
        let mut agent = Agent::up("further").await;
        agent.signal(Wish::Hard).await;
        agent.reach(phase).await;
        agent.signal(Wish::Hard).await;
        agent.fake.world(|world| {
            world.identity = Err("denied".into());
            world.identifying = Duration::from_secs(1);
        });
        agent.reach(Phase::Up).await;
        time::sleep(Duration::from_secs(1)).await;
        let status = agent.status.borrow().clone();
        let ended = |id| status.ended(id).map(|drain| (drain.outcome, drain.text.clone()));
        assert_eq!(ended(1).map(|(outcome, _)| outcome), Some(Outcome::Done), "asked in {phase:?}");
        assert_eq!(ended(2), Some((Outcome::Withdrawn, "denied".to_owned())), "asked in {phase:?}");
        assert_eq!(agent.fake.world(|world| world.restarts.len()), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_restart_that_can_not_be_written_down_is_given_up_and_the_first_goes_on() {
    let mut agent = Agent::up("further_unwritten").await;
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    agent.signal(Wish::Hard).await;
    time::sleep(Duration::from_millis(100)).await;
    let file = agent.directory.join(STATE);
    fs::remove_file(&file).unwrap();
    // A directory in the file's place.
    fs::create_dir_all(file.join("in the way")).unwrap();
    agent.reach(Phase::Up).await;
    time::sleep(Duration::from_secs(1)).await;
    let status = agent.status.borrow().clone();
    let outcome = |id| status.ended(id).map(|drain| drain.outcome);
    assert_eq!((outcome(1), outcome(2)), (Some(Outcome::Done), Some(Outcome::Withdrawn)));
    assert_eq!(agent.fake.world(|world| world.restarts.len()), 1);
}
