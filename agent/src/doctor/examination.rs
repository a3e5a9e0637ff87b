//! All looks together.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::spawn_blocking};

use super::{Finding, balancers, guard, host, logs, remote, restart, rights, server, systemd};
use crate::{clock, config::Config, control::api::Status, report::Reports, traffic::sockets::Own};

/// How many of the last drains tell whether a balancer understands.
const DRAINS: usize = 50;

/// What was found of an agent and all around it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The server's name.
    pub server: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// The ports on which health checks are answered.
    pub health_ports: Vec<u16>,
    /// The ports on which HAProxy's agent protocol is spoken.
    #[serde(default)]
    pub spoken_ports: Vec<u16>,
    /// The server's own.
    pub server_ports: Vec<u16>,
    /// What balancers call this server: `BACKEND/SERVER`.
    pub names: Vec<String>,
    /// How long balancers have to acknowledge, in seconds.
    pub acknowledge_seconds: f64,
}

/// Looks at an agent.
#[derive(Clone, Debug)]
pub struct Doctor {
    config: watch::Receiver<Arc<Config>>,
    /// Where that stands; `None`: it came from flags.
    file: Option<PathBuf>,
    /// The agent's own connections: its probes are no traffic.
    own: Own,
    reports: Reports,
}

impl Doctor {
    /// The one for the agent that has all this.
    pub fn new(
        config: watch::Receiver<Arc<Config>>,
        file: Option<PathBuf>,
        own: Own,
        reports: Reports,
    ) -> Self {
        Self { config, file, own, reports }
    }

    /// Looks at everything; `status` is as fresh as can be had.
    pub async fn examine(&self, status: &Status) -> Diagnosis {
        let config = Arc::clone(&self.config.borrow());
        let uptime = Duration::from_secs_f64(status.agent.uptime_seconds);
        let mut findings = balancers::who(&status.balancers, &status.absent, uptime);
        findings.extend(balancers::send_state(&status.balancers));
        match self.reports.last(DRAINS).await {
            Ok(records) => findings.extend(balancers::soft(&status.balancers, &records)),
            Err(error) => findings.push(Finding::warning(
                "history",
                error.to_string(),
                "let the agent's user read and write it; until then no report is kept",
            )),
        }
        findings.extend(balancers::others(&status.balancers));
        findings.extend(server::traffic(&status.traffic));
        findings.push(server::ready(&config, self.own.clone()).await);
        findings.extend(server::suspicious(&config));
        findings.extend(restart::may_restart(&config.restart.by).await);
        findings.extend(rights::missing(&config, self.file.as_deref()).await);
        findings.extend(systemd::own_socket_unit(&config).await);
        findings.extend(guard::of_server(&config).await);
        if let Some(stop) = &config.restart.stop {
            findings.extend(restart::may("restart.stop", stop).await);
        }
        for run in &config.runs {
            findings.extend(restart::may(&format!("run.{}.command", run.name), &run.command).await);
        }
        let (state, listen) = (config.state.clone(), config.listens().collect::<Vec<_>>());
        let believing = if config.balancers.trust.is_empty() { config.listen.clone() } else { Vec::new() };
        let (guarded, logs) = (config.control.remote.clone(), Arc::clone(&config));
        let unix = clock::unix_now();
        let of_host = spawn_blocking(move || {
            let mut findings = vec![host::state_file(&state)];
            let remote = guarded.as_ref().map(|remote| remote.listen);
            findings.extend(host::ports(&listen, remote, &believing));
            findings.push(host::other_ports(&logs.unbounded()));
            findings.extend(guarded.iter().flat_map(|remote| remote::files(remote, unix)));
            findings.extend(logs::nameless(&logs));
            findings
        });
        // A look that has died has found nothing.
        findings.extend(of_host.await.unwrap_or_default());
        findings.push(host::clock(unix));
        findings.extend(status.warnings.iter().map(|warning| {
            Finding::warning(
                "agent",
                warning.clone(),
                "the agent says so itself; `drainctl status` shows when it is over",
            )
        }));
        Diagnosis {
            server: status.server.clone(),
            findings,
            health_ports: config.listen.iter().map(SocketAddr::port).collect(),
            spoken_ports: config.spoken().map(SocketAddr::port).collect(),
            server_ports: config.server.ports.iter().map(|port| port.get()).collect(),
            names: status.balancers.iter().filter_map(|balancer| balancer.name.clone()).collect(),
            acknowledge_seconds: config.drain.acknowledge.limit.as_secs_f64(),
        }
    }
}
