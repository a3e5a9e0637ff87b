//! Staying with an agent over its own restart.

use std::time::Duration;

use drain_agent::control::api::{Reply, Status};
use serde::Serialize;
use tokio::time::{self, Instant};

use crate::{
    client::{Client, Watch},
    verdict::Fault,
};

/// How long an agent may be away: its own restart, an upgrade of its package.
const AWAY: Duration = Duration::from_secs(30);

/// How often to look whether it is back.
const LOOK: Duration = Duration::from_millis(250);

/// Asks an agent that may be away at the moment.
pub(crate) async fn ask_patiently<T: Serialize>(
    client: &Client,
    path: &str,
    body: &T,
) -> Result<Reply, Fault> {
    let since = Instant::now();
    loop {
        match client.ask(path, Some(body)).await {
            Err(Fault::NoAgent { .. }) if since.elapsed() < AWAY => time::sleep(LOOK).await,
            done => return done,
        }
    }
}

/// One status after the other.
pub(crate) struct Follow<'a> {
    client: &'a Client,
    watch: Option<Watch>,
    away_since: Option<Instant>,
}

impl<'a> Follow<'a> {
    pub(crate) async fn start(client: &'a Client) -> Result<Self, Fault> {
        Ok(Self { client, watch: Some(client.watch().await?), away_since: None })
    }

    /// The next status. May be dropped before it is ready, and called again.
    pub(crate) async fn next(&mut self) -> Result<Status, Fault> {
        loop {
            if let Some(watch) = &mut self.watch {
                if let Some(status) = watch.next().await? {
                    self.away_since = None;
                    return Ok(status);
                }
                self.watch = None;
            }
            let since = *self.away_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= AWAY {
                return Err(Fault::AgentGone);
            }
            match self.client.watch().await {
                Ok(watch) => self.watch = Some(watch),
                Err(Fault::NotPermitted(text)) => return Err(Fault::NotPermitted(text)),
                Err(_not_back) => time::sleep(LOOK).await,
            }
        }
    }
}
