//! What the companion runs after its unit has started. It never fails: a companion that has not started would not drain
//! at the next stop.

use drain_agent::guard::{self, AtStart, UnitName};
use tokio::time::{self, Duration, Instant};

use super::stop::loudly;
use crate::{
    client::Client,
    commands::NOTHING,
    verdict::{Done, Fault},
};

/// How long an agent may take to answer: at the host's start it starts, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look whether it is there.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn run(client: &Client, unit: &UnitName) -> Done {
    match come_back(client, unit).await {
        Ok(text) => Done::said(format!("{unit}: {text}")),
        Err(fault) => {
            loudly(&format!(
                "{unit}: NOT BROUGHT BACK, if a drain keeps it out: {fault}; `drainctl up` does it"
            ));
            Done::shown()
        }
    }
}

async fn come_back(client: &Client, unit: &UnitName) -> Result<String, Fault> {
    let since = Instant::now();
    let status = loop {
        match client.status().await {
            Err(Fault::NoAgent { .. }) if since.elapsed() < PATIENCE => time::sleep(LOOK).await,
            answered => break answered?,
        }
    };
    Ok(match guard::at_start(&status, &guard::reason(unit)) {
        AtStart::Return => {
            client.ask("/v1/return", NOTHING).await?;
            format!("{} comes back as soon as it is ready", status.server)
        }
        AtStart::Held => {
            format!("{} stays out, as somebody else has asked: `drainctl up` brings it back", status.server)
        }
        AtStart::Nothing => format!("nothing keeps {} out", status.server),
    })
}
