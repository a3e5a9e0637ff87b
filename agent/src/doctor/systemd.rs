//! What systemd has otherwise than the configuration says.

use super::{Finding, restart, rights};
use crate::{
    config::{By, Config},
    systemd::{bus::Systemd, socket},
};

const ABOUT: &str = "socket_unit";

/// What is wrong with the units that the agent of `service` has to do with: the server's, and the socket that holds the
/// health port. Nothing where systemd does not answer, for then nothing is known.
pub(crate) async fn differences(config: &Config, service: &str) -> Vec<Finding> {
    let Ok(systemd) = Systemd::connect().await else { return Vec::new() };
    let mut findings = Vec::new();
    if let By::Unit { unit, .. } = &config.restart.by
        && let Ok(standing) = systemd.standing(unit).await
        && standing.loaded != "loaded"
    {
        findings.push(restart::judge_unit(unit, &standing));
    }
    findings.extend(socket_unit(&systemd, config, service).await);
    // Where that is not told, it is not known.
    if systemd.user(service).await.is_ok_and(|user| !matches!(user.as_str(), "" | "root")) {
        findings.extend(rights::beyond_a_user(config));
    }
    findings
}

/// Whether the socket unit of this agent's own service holds what is configured.
pub(super) async fn own_socket_unit(config: &Config) -> Option<Finding> {
    let service = crate::systemd::cgroup::own_service()?;
    socket_unit(&Systemd::connect().await.ok()?, config, &service).await
}

async fn socket_unit(systemd: &Systemd, config: &Config, service: &str) -> Option<Finding> {
    let mismatch = socket::mismatch(systemd, service, &config.listen).await.ok()??;
    Some(Finding::warning(ABOUT, mismatch.to_string(), socket::CURE))
}
