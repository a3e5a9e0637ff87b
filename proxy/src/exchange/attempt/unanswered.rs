//! What becomes of a request that no server has answered.

use super::{
    super::{
        answer::Status,
        client::After,
        connect::{GivenUp, NoSlot},
        ending::{abandon, fail, finish},
        relay::Remains,
    },
    Attempts,
};
use crate::clock;

impl Attempts<'_> {
    /// It waits no longer; `stage` is HAProxy's letter for what it waited for.
    pub(super) async fn given_up(mut self, why: GivenUp, stage: u8) -> After {
        match why {
            GivenUp::ForNobody => self.abandoned([b'C', stage]),
            GivenUp::ShutDown => self.unavailable([b'K', stage]).await,
        }
    }

    /// Nobody waits for the answer any more.
    fn abandoned(self, cause: [u8; 2]) -> After {
        self.story.bytes += self.rest.as_ref().map_or(0, |rest| rest.down.written());
        self.story.end(cause);
        abandon(self.core, self.client, self.asked, self.story)
    }

    /// No server has been found for it.
    pub(super) async fn without_slot(mut self, error: NoSlot) -> After {
        let cause = match error {
            NoSlot::NoServer => *b"SC",
            NoSlot::QueueTimeout => {
                // Waiting is all that this request did, and Tw says for how long.
                self.story.admitted = Some(clock::now());
                *b"sQ"
            }
            NoSlot::QueueFull => *b"SQ",
            NoSlot::GivenUp(why) => return self.given_up(why, b'Q').await,
        };
        self.unavailable(cause).await
    }

    /// No server has answered, or continued what another has begun.
    pub(super) async fn unavailable(&mut self, cause: [u8; 2]) -> After {
        if let Some(rest) = self.rest.take() {
            let mut remains = Remains::cut_off(rest.end, rest.down);
            let now = clock::now();
            return finish(self.core, self.client, self.asked, self.up, &mut remains, self.story, now).await;
        }
        self.story.end(cause);
        fail(self.core, self.client, self.asked, self.up, self.story, Status::Unavailable).await
    }
}
