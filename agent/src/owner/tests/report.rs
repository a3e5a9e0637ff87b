//! The reports of drains.

use super::*;
use crate::{
    balancers::Standing,
    lifecycle::{Level, Stage},
    report::{History, Record},
};

fn filed(directory: &Scratch) -> Vec<Record> {
    let history = History::at(&directory.join("state.history.jsonl"));
    let ids: Vec<u64> = history.last(100).unwrap().iter().map(|record| record.drain).collect();
    ids.iter().map(|id| history.of(*id).unwrap().unwrap()).collect()
}

fn stages(record: &Record) -> Vec<Stage> {
    record.steps.iter().map(|step| step.to).collect()
}

const WHOLE: [Stage; 5] = [Stage::Soft, Stage::Hard, Stage::Restarting, Stage::Warming, Stage::Up];

#[tokio::test(start_paused = true)]
async fn a_whole_drain_leaves_one_record_when_users_are_back() {
    let mut agent = Agent::up("report").await;
    agent.ask(restart()).await;
    agent.reach(Phase::Hard).await;
    agent.reach(Phase::Up).await;
    assert!(filed(&agent.directory).is_empty(), "users have yet to come");
    agent.fake.world(|world| world.reading = Ok(BUSY));
    time::sleep(Duration::from_secs(2)).await;
    agent.signals.send(Signal { wish: Wish::Stop, name: "SIGTERM", pid: None, uid: None }).await.unwrap();
    agent.owner.await.unwrap();
    let records = filed(&agent.directory);
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.drain, record.outcome, record.server.as_str()), (1, Some(Outcome::Done), "shop"));
    assert_eq!(stages(record), WHOLE);
    let acknowledged: Vec<_> = record.acknowledgements.iter().map(|one| (one.level, one.how)).collect();
    assert_eq!(acknowledged, [(Level::Soft, Standing::Proven), (Level::Hard, Standing::Proven)]);
    assert!(record.acknowledgements[0].at <= 1.5, "{:?}", record.acknowledgements);
    assert!(record.traffic.len() > 10 && record.traffic.iter().all(|sample| sample.in_flight == Some(0)));
    assert_eq!((&record.cut, &record.left_open), (&None, &None));
    assert_eq!(record.restarts[0].output.as_deref(), Some("said"));
    assert!(record.restarts[0].seconds >= RESTART.as_secs_f64());
    let back = record.users_back_at.unwrap() - record.ended_at.unwrap();
    assert!((0.0..1.5).contains(&back), "{back}");
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_at_a_limit_is_in_the_record() {
    let mut agent = Agent::up("report-cut").await;
    agent.fake.world(|world| world.reading = Ok(BUSY));
    agent.ask(Request::Hard(Options { then: Some(Then::Restart), ..Options::default() })).await;
    agent.reach(Phase::Up).await;
    time::sleep(Duration::from_secs(2)).await;
    let record = &filed(&agent.directory)[0];
    let cut = record.cut.as_ref().unwrap();
    assert_eq!(
        (cut.in_flight, &cut.unknown, cut.held_by.as_slice()),
        (Some(1), &None, &["1 in flight".into()][..])
    );
    assert_eq!(cut.peers, [Peer { address: [10, 0, 0, 9].into(), in_flight: 1, idle: 0 }]);
    assert_eq!(record.traffic[0].in_flight, Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_by_a_limit_that_nobody_could_tell_the_traffic_of_is_no_zero() {
    let mut agent = Agent::up("report-cut-unknown").await;
    agent.fake.world(|world| world.reading = Err("denied".into()));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Restarting).await;
    agent.fake.world(|world| world.reading = Ok(BUSY));
    agent.reach(Phase::Up).await;
    time::sleep(Duration::from_secs(2)).await;
    let cut = filed(&agent.directory)[0].cut.clone().unwrap();
    assert_eq!((cut.in_flight, cut.unknown.as_deref()), (None, Some("sockets: denied")));
}

#[tokio::test(start_paused = true)]
async fn what_stays_open_that_nobody_waited_for_is_in_the_record() {
    let mut agent = Agent::up("report-open").await;
    let silent = Silence { count: 3, shortest: Some(Duration::from_mins(10)) };
    agent.fake.world(|world| world.reading = Ok(Reading { answered: silent, fresh: 1, ..EMPTY }));
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    agent.reach(Phase::Up).await;
    agent.fake.world(|world| world.reading = Ok(BUSY));
    time::sleep(Duration::from_secs(2)).await;
    let record = &filed(&agent.directory)[0];
    let open = record.left_open.as_ref().unwrap();
    assert_eq!((open.answered, open.fresh, open.untold, open.long_lived.as_str()), (3, 1, 0, "quiet"));
    assert_eq!(open.peers, [Peer { address: [10, 0, 0, 9].into(), in_flight: 0, idle: 4 }]);
    assert_eq!(record.cut, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_command_cuts_that_drainctl_runs_is_in_the_record() {
    let agent = Agent::up("report-run-cut").await;
    agent.fake.world(|world| world.reading = Ok(BUSY));
    let options = Options { then: Some(Then::Hold), command: Some("apt-get".into()), ..Options::default() };
    agent.ask(Request::Hard(options)).await;
    let reached = |status: &Arc<Status>| status.asked.as_ref().is_some_and(|asked| asked.reached);
    let asked = agent.status.clone().wait_for(reached).await.unwrap().asked.clone().unwrap();
    assert_eq!(asked.limit_passed.as_deref(), Some("the limit of 30s has passed: 1 in flight"));
    // As long as a record that has changed may wait to be written.
    time::sleep(Duration::from_secs(11)).await;
    assert!(agent.written().contains("\"cut\":{"), "{}", agent.written());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_goes_on_over_a_crash_is_one_record() {
    let mut agent = Agent::up("report-crash").await;
    agent.ask(restart()).await;
    agent.reach(Phase::Soft).await;
    // As long as a table that has changed may wait to be written.
    time::sleep(Duration::from_secs(11)).await;
    let (directory, fake) = agent.kill().await;
    let mut agent = Agent::start_in(directory, fake).await;
    agent.reach(Phase::Hard).await;
    agent.reach(Phase::Up).await;
    time::sleep(Duration::from_secs(70)).await;
    let records = filed(&agent.directory);
    assert_eq!(records.len(), 1);
    assert_eq!((stages(&records[0]).as_slice(), records[0].agent_restarts), (WHOLE.as_slice(), 1));
    assert_eq!(records[0].users_back_at, None, "nobody has come");
}

#[tokio::test(start_paused = true)]
async fn that_nobody_has_looked_while_the_agent_was_away_is_no_user_who_is_back() {
    let mut agent = Agent::up("report-away").await;
    agent.ask(restart()).await;
    agent.reach(Phase::Hard).await;
    agent.reach(Phase::Up).await;
    // As long as a record that has changed may wait to be written.
    time::sleep(Duration::from_secs(11)).await;
    let (directory, fake) = agent.kill().await;
    fake.world(|world| world.reading = Ok(Reading { ended: Some(LastWord::UNKNOWN), ..EMPTY }));
    let agent = Agent::start_in(directory, fake).await;
    time::sleep(Duration::from_secs(70)).await;
    let back: Vec<_> = filed(&agent.directory).iter().map(|record| record.users_back_at).collect();
    assert_eq!(back, [None]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_drain_is_filed_at_once() {
    let agent = Agent::up("report-cancelled").await;
    agent.ask(Request::Soft(Options::default())).await;
    agent.ask(Request::Up).await;
    agent.signals.send(Signal { wish: Wish::Stop, name: "SIGTERM", pid: None, uid: None }).await.unwrap();
    agent.owner.await.unwrap();
    let records = filed(&agent.directory);
    assert_eq!((records.len(), records[0].outcome), (1, Some(Outcome::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_drain_leaves_no_record() {
    let agent = Agent::up("report-refused").await;
    fs::remove_dir_all(agent.directory.path()).unwrap();
    assert!(matches!(agent.ask(restart()).await, Reply::Refused { .. }));
    fs::create_dir_all(agent.directory.path()).unwrap();
    time::sleep(Duration::from_secs(10)).await;
    assert!(filed(&agent.directory).is_empty());
    assert!(!agent.written().contains("\"reports\":[{"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_after_whose_end_the_agent_dies_leaves_one_record() {
    for seconds in [0, 70] {
        let mut agent = Agent::up("report-end").await;
        agent.ask(restart()).await;
        agent.reach(Phase::Hard).await;
        agent.reach(Phase::Up).await;
        // It is killed before the state tells of that, or when the record has just been written.
        time::sleep(Duration::from_secs(seconds)).await;
        let (directory, fake) = agent.kill().await;
        let agent = Agent::start_in(directory, fake).await;
        time::sleep(Duration::from_secs(70)).await;
        let outcomes: Vec<_> = filed(&agent.directory).iter().map(|record| record.outcome).collect();
        assert_eq!(outcomes, [Some(Outcome::Done)], "killed after {seconds} s");
        assert!(!agent.written().contains("\"outcome\":null"), "{}", agent.written());
    }
}
