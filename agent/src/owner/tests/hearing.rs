//! Who asks is heard, whatever else keeps the owner busy: nobody's silence is the agent's own.

use std::io::Read;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// From here on an acknowledgement takes so long: the balancer asks twice a second, and nobody else is waited for.
const SETTLED: Duration = Duration::from_secs(2);

async fn assert_is_acknowledged(agent: &mut Agent) {
    let complete = |status: &Arc<Status>| status.acknowledged.complete;
    time::timeout(SETTLED, agent.status.wait_for(complete))
        .await
        .expect("nobody else is waited for")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn checks_are_heard_while_people_ask_all_the_time_for_a_look_that_does_not_come() {
    let gauge =
        "hard = { quiet = '5s', limit = '60s' }\n[[traffic]]\ngauge = { url = 'http://127.0.0.1:1/' }";
    let fake = fake();
    fake.world(|world| (world.late, world.read) = (Duration::from_hours(1), vec![Ok(EMPTY)]));
    let mut agent = Agent::start_with(Scratch::new("asked_all_the_time"), fake, gauge).await;
    for _ in 0..1000 {
        let (looked, _gone) = oneshot::channel();
        agent.looks.try_send(looked).unwrap();
        time::sleep(Duration::from_millis(20)).await;
    }
    agent.signal(Wish::Hard).await;
    agent.reach(Phase::Hard).await;
    assert_is_acknowledged(&mut agent).await;
}

/// Lets `duration` pass although a thread waits.
async fn pass(duration: Duration) {
    let step = Duration::from_millis(50);
    for _ in 0..duration.as_millis() / step.as_millis() {
        time::advance(step).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn checks_are_heard_while_the_disk_hangs() {
    let mut agent = Agent::start("disk_hangs").await;
    time::sleep(Duration::from_millis(400)).await;
    // Opening it waits for a reader: the new balancer is not written down.
    let new = agent.directory.join(&format!("{STATE}.new"));
    mknodat(CWD, &new, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    pass(Duration::from_secs(20)).await;
    agent.signal(Wish::Hard).await;
    pass(Duration::from_secs(3)).await;
    assert_eq!(agent.phase(), Phase::Up, "what is not written down is not announced");
    // Whoever writes meets this, however late.
    let mut pipe = fs::File::open(&new).unwrap();
    fs::rename(&new, agent.directory.join("aside")).unwrap();
    let mut written = String::new();
    pipe.read_to_string(&mut written).unwrap();
    assert!(written.contains("lb1"), "it was on its way: {written}");
    agent.reach(Phase::Hard).await;
    assert_is_acknowledged(&mut agent).await;
}
