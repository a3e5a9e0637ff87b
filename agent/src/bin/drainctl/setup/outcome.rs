//! What has become of an agent that was set up: whether it says that its server is up.

use std::{
    io::{self, Write},
    time::Duration,
};

use drain_agent::{
    control::api::Status,
    doctor::{Diagnosis, Finding, Level, READY},
    lifecycle::Phase,
    setup::Plan,
};
use tokio::time::{self, Instant};

use crate::{
    client::{Client, Way},
    doctor,
    verdict::Fault,
};

/// How long an agent may take to say that its server is up. Its start and two probes take a second; a server that was
/// started just before may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(250);

/// Waits until the agent says that the server is up, and shows what its doctor finds; a server that is not up is a
/// fault.
pub(super) async fn wait(plan: &Plan) -> Result<(), Fault> {
    let client = Client::new(Way::Socket(plan.control_socket()));
    let began = Instant::now();
    let (judged, diagnosis) = loop {
        let is_last = began.elapsed() >= PATIENCE;
        let (judged, diagnosis) = look(&client, is_last).await;
        if judged.is_ok() || is_last {
            break (judged, diagnosis);
        }
        time::sleep(LOOK).await;
    };
    // An agent that does not answer was told of already.
    if let Some(diagnosis) = diagnosis {
        let _closed = writeln!(io::stdout(), "{}", doctor::text(&diagnosis));
    }
    judged.map_err(|why| {
        Fault::Failed(format!(
            "{} runs, but balancers are not told that the server is up: {why}; start the server, or correct {} and \
             `systemctl reload {}`",
            plan.agent_unit(),
            plan.path().display(),
            plan.agent_unit()
        ))
    })
}

/// Whether the server is up, and all that the doctor finds; that is asked for where the server seems up, or at the `last`.
async fn look(client: &Client, last: bool) -> (Result<(), String>, Option<Diagnosis>) {
    let judged = match client.status().await {
        Ok(status) => judge(&status),
        Err(fault) => Err(fault.to_string()),
    };
    let diagnosis = if judged.is_ok() || last { client.doctor().await.ok() } else { None };
    // The doctor probes the server itself: an agent that was restarted holds it for up, as it was by the old configuration,
    // until it has failed often enough.
    let judged = judged.and_then(|()| diagnosis.as_ref().map_or(Ok(()), is_ready));
    (judged, diagnosis)
}

/// Whether the server answers its readiness probe now; else what the doctor says of it.
fn is_ready(diagnosis: &Diagnosis) -> Result<(), String> {
    let fails = |finding: &&Finding| finding.about == READY && finding.level == Level::Failure;
    diagnosis.findings.iter().find(fails).map_or(Ok(()), |finding| Err(finding.text.clone()))
}

/// Whether the server is up, by its own readiness probe; else why not.
fn judge(status: &Status) -> Result<(), String> {
    match (status.phase, status.readiness.ready) {
        (Phase::Up, Some(true)) => Ok(()),
        (Phase::Up, _) => Err(format!("its readiness is not known yet: {}", status.readiness.text)),
        (phase, _) => Err(format!("it is in {phase} ({}); ready: {}", status.reason, status.readiness.text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn only_a_server_that_answers_its_probe_is_up() {
        let mut status = sample::soft();
        status.phase = Phase::Up;
        status.readiness.ready = Some(true);
        assert_eq!(judge(&status), Ok(()));
        status.readiness.ready = None;
        assert!(judge(&status).unwrap_err().contains("not known yet"));
        status.phase = Phase::Down;
        status.readiness.ready = Some(false);
        assert!(judge(&status).unwrap_err().contains("down"));
    }

    #[test]
    fn what_the_doctors_own_probe_finds_counts_more_than_what_was_known() {
        let found = |finding| is_ready(&sample::diagnosis(vec![finding]));
        assert_eq!(found(Finding::ok(READY, "the server is ready")), Ok(()));
        let fails = Finding::failure(READY, "the server is not ready: status 404", "correct it");
        assert!(found(fails).unwrap_err().contains("status 404"));
        assert_eq!(
            found(Finding::failure("guard", "nobody is drained", "guard it")),
            Ok(()),
            "of something else"
        );
    }
}
