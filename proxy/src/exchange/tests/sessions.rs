//! Requests as an operator sees them while they are under way, and ends them.

use tokio::sync::mpsc;

use super::{
    super::sessions::{Question, Seen, Stage},
    *,
};

/// The one request that is under way, once this holds of it.
async fn under_way(holds: impl Fn(&Seen) -> bool) -> Seen {
    loop {
        let (sender, mut answers) = mpsc::unbounded_channel();
        Question::What(sender).answer();
        match answers.try_recv() {
            Ok(seen) if holds(&seen) => return seen,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[test]
fn who_is_tried_again_has_no_connection_and_one_attempt_more() {
    with_paused_time(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut client = proxy.send(GET).await;
        let (wire, _) = server.request().await;
        let seen = under_way(|seen| seen.stage == Stage::Established).await;
        assert_eq!((seen.server_fd.is_some(), seen.retries), (true, 0));
        drop(wire);
        let seen = under_way(|seen| seen.stage == Stage::Connecting).await;
        assert_eq!((seen.server_fd, seen.retries), (None, 1));
        let (mut wire, _) = server.request().await;
        wire.send(OK).await;
        client.expect(OK).await;
    });
}
