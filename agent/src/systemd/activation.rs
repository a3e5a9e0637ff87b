//! Sockets that systemd holds for the agent (`sd_listen_fds(3)`, `drain-agent@.socket`).
//!
//! systemd listens, and keeps the socket when the agent ends: a check that comes while there is no agent waits in the
//! kernel's queue, and the next agent answers it. A balancer sees neither a crash nor an upgrade.

use std::{
    env,
    net::{IpAddr, SocketAddr, TcpListener},
};

use listenfd::ListenFd;
use thiserror::Error;
use tracing::warn;

use crate::health;

/// What `FileDescriptorName=` calls the sockets on which HAProxy's agent protocol is spoken.
const AGENT_CHECK: &str = "agent-check";

/// The sockets that systemd hands over.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Where balancers ask for the server's health.
    pub health: Vec<TcpListener>,
    /// Where they speak HAProxy's agent protocol.
    pub agent_check: Vec<TcpListener>,
}

/// Why there is nothing to listen on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Neither the configuration nor systemd has it.
    #[error(
        "expected `listen` in the configuration, or a socket from systemd, found neither: write for example \
         `listen = \"0.0.0.0:8404\"`, or start drain-agent@NAME.socket before the agent"
    )]
    Nowhere,
    /// It can't be listened on.
    #[error(transparent)]
    Bind(#[from] health::Error),
    /// What was handed over is no listener.
    #[error("expected TCP sockets from systemd, found another one: {0}; correct drain-agent@NAME.socket")]
    NotTcp(std::io::Error),
}

impl Inherited {
    /// Takes those that were handed to this process. They can be taken once.
    pub fn take() -> Result<Self, ListenError> {
        // listenfd would take them from whom no process is named, too; systemd always names one.
        if env::var_os("LISTEN_PID").is_none() {
            return Ok(Self::default());
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..handed.len() {
            let speaks_agent_check = names.next() == Some(AGENT_CHECK);
            let Some(listener) = handed.take_tcp_listener(index).map_err(ListenError::NotTcp)? else {
                continue;
            };
            if speaks_agent_check { &mut inherited.agent_check } else { &mut inherited.health }
                .push(listener);
        }
        Ok(inherited)
    }
}

/// What is listened on where `configured` says so and systemd has handed over `inherited`: those, and what is lacking is
/// bound. One that nobody has configured is told and used: systemd would keep its connections waiting.
pub fn listeners(
    inherited: Vec<TcpListener>,
    configured: &[SocketAddr],
) -> Result<Vec<TcpListener>, ListenError> {
    let held: Vec<SocketAddr> = inherited.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let mut listeners = inherited;
    for surplus in
        held.iter().filter(|held| !configured.is_empty() && !configured.iter().any(|c| holds(**held, *c)))
    {
        warn!(
            "systemd hands over {surplus}, which is not in the configuration: correct `listen`, or ListenStream= of the \
             agent's socket unit"
        );
    }
    for lacking in configured.iter().filter(|configured| !held.iter().any(|held| holds(*held, **configured)))
    {
        listeners.push(health::bind(*lacking)?);
    }
    Ok(listeners)
}

/// Whether a socket at `held` takes what comes to `configured`: systemd listens on both families at once where nothing
/// but a port is given.
pub fn holds(held: SocketAddr, configured: SocketAddr) -> bool {
    let (held_ip, wanted) = (held.ip().to_canonical(), configured.ip().to_canonical());
    let everywhere = held_ip == IpAddr::from([0_u16; 8]);
    held.port() == configured.port() && (held_ip == wanted || everywhere && wanted.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_systemd_holds_is_not_bound_again_and_what_lacks_is() {
        let held = health::bind(address("127.0.0.1:0")).unwrap();
        let at = held.local_addr().unwrap();
        let lacking = address("127.0.0.1:0");
        let all = listeners(vec![held], &[at, lacking]).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].local_addr().unwrap(), at);
    }

    #[test]
    fn without_a_configured_address_those_of_systemd_are_all() {
        let held = health::bind(address("127.0.0.1:0")).unwrap();
        assert_eq!(listeners(vec![held], &[]).unwrap().len(), 1);
    }

    #[test]
    fn a_port_alone_in_a_socket_unit_holds_every_address_of_both_families() {
        for (held, configured, is) in [
            ("[::]:8404", "0.0.0.0:8404", true),
            ("[::]:8404", "[::]:8404", true),
            ("0.0.0.0:8404", "0.0.0.0:8404", true),
            ("0.0.0.0:8404", "[::]:8404", false),
            ("10.0.0.1:8404", "0.0.0.0:8404", false),
            ("[::]:8404", "0.0.0.0:8405", false),
            ("[::ffff:10.0.0.1]:8404", "10.0.0.1:8404", true),
        ] {
            assert_eq!(holds(address(held), address(configured)), is, "{held} {configured}");
        }
    }
}
