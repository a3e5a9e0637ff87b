//! How a drain ends otherwise than by one restart, carried out.

use super::*;

fn hard(then: Option<Then>, for_seconds: Option<u64>) -> Request {
    Request::Hard(Options { then, for_seconds, ..Options::default() })
}

async fn up_with(test: &str, lines: &str) -> Agent {
    let agent = Agent::start_with(Scratch::new(test), fake(), lines).await;
    time::sleep(Duration::from_secs(40)).await;
    assert_eq!(agent.phase(), Phase::Up);
    agent
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_carried_out_once_and_held_until_a_restart_brings_the_server_back() {
    let mut agent = up_with("stop", "restart.stop = ['false']").await;
    agent.ask(hard(Some(Then::Stop), None)).await;
    agent.reach(Phase::Restarting).await;
    agent.reach(Phase::Hard).await;
    agent.fake.world(|world| world.ready = false);
    time::sleep(Duration::from_mins(10)).await;
    assert!(agent.status.borrow().asked.as_ref().unwrap().reached);
    agent.ask(hard(Some(Then::Restart), None)).await;
    agent.reach(Phase::Restarting).await;
    agent.fake.world(|world| world.ready = true);
    agent.reach(Phase::Up).await;
    assert_eq!(agent.fake.world(|world| world.thens.clone()), [Then::Stop, Then::Restart]);
}

#[tokio::test(start_paused = true)]
async fn a_command_of_the_configuration_is_run_in_the_restarts_place() {
    let mut agent = up_with("run", "run.upgrade.command = ['true']").await;
    let Reply::Refused { name, .. } = agent.ask(hard(Some(Then::Stop), None)).await else {
        panic!("not refused")
    };
    assert_eq!(name, "no_stop_command");
    agent.ask(hard(Some(Then::Run("upgrade".into())), None)).await;
    agent.reach(Phase::Restarting).await;
    agent.reach(Phase::Up).await;
    assert_eq!(agent.fake.world(|world| world.thens.clone()), [Then::Run("upgrade".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_a_stated_time_ends_by_itself_although_the_agent_was_killed() {
    let mut agent = Agent::up("for").await;
    agent.ask(hard(None, Some(120))).await;
    agent.reach(Phase::Hard).await;
    assert!(agent.status.borrow().asked.as_ref().unwrap().until_unix.is_some());
    time::sleep(Duration::from_mins(1)).await;
    let (directory, fake) = agent.kill().await;
    let mut agent = Agent::start_in(directory, fake).await;
    assert_eq!(agent.phase(), Phase::Hard);
    time::sleep(Duration::from_secs(55)).await;
    assert_eq!(agent.phase(), Phase::Hard);
    time::sleep(Duration::from_secs(10)).await;
    assert_eq!(agent.phase(), Phase::Up);
    let status = agent.status.borrow_and_update().clone();
    assert_eq!(status.ended(1).map(|drain| drain.outcome), Some(Outcome::Done));
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_is_tried_again_and_up_cancels_it_in_between() {
    let mut agent = up_with("retries", "restart.retries = 1").await;
    agent.fake.world(|world| world.restart = Err("port taken".into()));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    assert!(matches!(agent.ask(Request::Up).await, Reply::Refused { .. }));
    time::sleep(Duration::from_secs(2)).await;
    assert!(!agent.written().contains("\"mark\""), "nothing is at work");
    agent.fake.world(|world| world.restart = Ok(()));
    agent.reach(Phase::Up).await;
    assert_eq!(agent.fake.world(|world| world.restarts.len()), 2);
    agent.fake.world(|world| world.restart = Err("port taken".into()));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    time::sleep(Duration::from_secs(2)).await;
    assert!(matches!(agent.ask(Request::Up).await, Reply::Accepted { .. }));
    agent.reach(Phase::Up).await;
    time::sleep(Duration::from_mins(1)).await;
    assert_eq!(agent.fake.world(|world| world.restarts.len()), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_warmed_up_before_it_gets_users() {
    let mut agent = up_with("warm_up", "restart.warm_up = ['/']").await;
    agent.fake.world(|world| world.warm_up = (Duration::from_secs(10), vec!["/: 500".into()]));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Warming).await;
    time::sleep(Duration::from_secs(9)).await;
    assert_eq!(agent.phase(), Phase::Warming);
    agent.reach(Phase::Up).await;
    assert_eq!(agent.fake.world(|world| world.warm_ups), 1);
}

#[tokio::test(start_paused = true)]
async fn of_the_servers_of_a_host_one_is_out_at_a_time() {
    let scratch = Scratch::new("alone");
    let lines = format!("exclusive = '{}'", scratch.join("host.lock").display());
    let mut first = up_with("alone_first", &lines).await;
    let mut second = up_with("alone_second", &lines).await;
    first.ask(hard(None, None)).await;
    first.reach(Phase::Hard).await;
    let Reply::Refused { name, text } = second.ask(restart()).await else { panic!("not refused") };
    assert_eq!(name, "others_out");
    assert!(text.contains("shop"), "{text}");
    first.ask(Request::Up).await;
    first.reach(Phase::Up).await;
    assert!(matches!(second.ask(restart()).await, Reply::Accepted { .. }));
    second.reach(Phase::Soft).await;
    let (directory, fake) = second.kill().await;
    let second = Agent::start_with(directory, fake, &lines).await;
    time::sleep(Duration::from_secs(2)).await;
    assert!(
        matches!(first.ask(restart()).await, Reply::Refused { .. }),
        "it was taken again after the crash"
    );
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_agent_dies_in_a_drain_is_out_for_the_others_of_its_host_until_its_agent_is_given_up()
{
    let scratch = Scratch::new("alone_dies");
    let lines = format!("exclusive = '{}'", scratch.join("host.lock").display());
    let mut first = up_with("alone_dies_first", &lines).await;
    let second = up_with("alone_dies_second", &format!("server.name = 'blog'\n{lines}")).await;
    first.ask(hard(None, None)).await;
    first.reach(Phase::Hard).await;
    let (directory, fake) = first.kill().await;
    let Reply::Refused { text, .. } = second.ask(restart()).await else { panic!("not refused") };
    assert!(text.contains("another server of this host is out: shop (agent with pid "), "{text}");
    let first = Agent::start_with(directory, fake, &lines).await;
    time::sleep(Duration::from_mins(1)).await;
    assert!(matches!(second.ask(restart()).await, Reply::Refused { .. }), "the first one's drain goes on");
    first.kill().await;
    assert!(matches!(second.ask(restart()).await, Reply::Refused { .. }), "it may come back");
    time::sleep(Duration::from_secs(10)).await;
    assert!(matches!(second.ask(restart()).await, Reply::Accepted { .. }), "it has not");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_a_failed_restart_leaves_out_is_out_for_the_others_of_its_host() {
    let scratch = Scratch::new("alone_failed");
    let lines = format!("exclusive = '{}'", scratch.join("host.lock").display());
    let mut first = up_with("alone_fails", &lines).await;
    let second = up_with("alone_waits", &lines).await;
    first.fake.world(|world| world.restart = Err("exit status 1".into()));
    first.signal(Wish::Hard).await;
    first.reach(Phase::Failed).await;
    time::sleep(Duration::from_mins(10)).await;
    assert!(matches!(second.ask(restart()).await, Reply::Refused { .. }));
    first.fake.world(|world| world.restart = Ok(()));
    first.ask(Request::Up).await;
    first.reach(Phase::Up).await;
    assert!(matches!(second.ask(restart()).await, Reply::Accepted { .. }));
}
