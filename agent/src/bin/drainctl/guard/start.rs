//! What the companion runs after its unit has started. It fails only where the unit does not run: then there is nothing to
//! bring back, and a companion that has not started is started with the unit's next start, which brings the server back. In
//! all other cases it does not fail: a companion that has not started would not drain at the next stop.

use drain_agent::guard::{self, AtStart, UnitName};
use tokio::time::{self, Duration, Instant};

use super::{stop::loudly, systemd::Systemd};
use crate::{
    client::Client,
    commands::NOTHING,
    verdict::{Done, Fault},
};

/// How long the unit may take to run, and an agent to answer: at the host's start it starts, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to look whether it is there.
const LOOK: Duration = Duration::from_millis(250);

/// How often to look at a unit that may start soon.
const LOOK_AT_UNIT: Duration = Duration::from_secs(1);

pub(super) async fn run(client: &Client, systemd: Systemd, unit: &UnitName) -> Result<Done, Fault> {
    let since = Instant::now();
    if !has_started(systemd, unit, since).await {
        loudly(&format!(
            "{unit} does not run: what keeps it out, if anything does, stays until it has started"
        ));
        return Err(Fault::Shown);
    }
    Ok(match come_back(client, unit, since).await {
        Ok(text) => Done::said(format!("{unit}: {text}")),
        Err(fault) => {
            loudly(&format!(
                "{unit}: NOT BROUGHT BACK, if a drain keeps it out: {fault}; `drainctl up` does it"
            ));
            Done::shown()
        }
    })
}

/// Whether the unit runs, as far as systemd tells. One that systemd starts again after a crash is waited for: were this
/// hook to fail while that start is under way, the start that it brings the companion would have come too early.
async fn has_started(systemd: Systemd, unit: &UnitName, since: Instant) -> bool {
    loop {
        match systemd.state(unit).await {
            Ok(state) if state.may_start() && since.elapsed() < PATIENCE => time::sleep(LOOK_AT_UNIT).await,
            Ok(state) => return state.runs,
            Err(_unknown) => return true,
        }
    }
}

async fn come_back(client: &Client, unit: &UnitName, since: Instant) -> Result<String, Fault> {
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
