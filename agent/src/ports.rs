//! The TCP ports that the agent may listen on: those that its configuration names, and the kernel refuses all others.
//!
//! Whoever finds a way into an agent shall not be able to leave a door open behind him. systemd has `SocketBindDeny=` for
//! that, which does nothing where systemd is built without BPF (Debian 12) and would have to be told of every port in a
//! unit; Landlock (landlock(7), for ports from Linux 6.7 on) takes the ports from the configuration itself. What it narrows
//! stays narrow, for whatever the agent starts, too: so an agent that runs commands is not narrowed, since a server that
//! they start has ports of its own.

use std::collections::BTreeSet;

use landlock::{AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus};
use tracing::{debug, info, warn};

use crate::config::Config;

/// The ports that this process may listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ports {
    /// Any, as every process.
    Any,
    /// These: the kernel refuses all others.
    These(BTreeSet<u16>),
}

/// Why another configuration is none for an agent that runs.
#[derive(Debug, thiserror::Error)]
#[error(
    "{keys} can't begin to hold now: the kernel lets this agent, and whatever it starts, open no ports but those of the \
     configuration that it was started with; restart the agent"
)]
pub struct Unfit {
    /// The keys, in words.
    keys: String,
}

impl Ports {
    /// Has the kernel refuse this thread, and those that it starts from then on, all ports but those of `config`; for good,
    /// and so to be called before any other thread. An agent goes on without where that can't be had.
    pub fn narrow(config: &Config) -> Self {
        let unbounded = config.unbounded();
        if !unbounded.is_empty() {
            debug!("may listen on any port, for {}", unbounded.join(", "));
            return Self::Any;
        }
        let ports = named(config);
        match restrict(&ports) {
            Ok(RulesetStatus::FullyEnforced) => {
                debug!(?ports, "the kernel refuses to open any other port");
                Self::These(ports)
            }
            Ok(_) => {
                info!(
                    "may listen on any port: there is no Landlock for ports, as Linux has it from 6.7 on, or \
                     SystemCallFilter= of the agent's unit refuses it"
                );
                Self::Any
            }
            Err(error) => {
                warn!("may listen on any port: Landlock can't be had: {error}");
                Self::Any
            }
        }
    }

    /// Whether the kernel refuses this port.
    pub fn refuse(&self, port: u16) -> bool {
        matches!(self, Self::These(ports) if !ports.contains(&port))
    }

    /// Whether `config` can hold from now on: what it starts must find all ports.
    pub fn fit(&self, config: &Config) -> Result<(), Unfit> {
        let unbounded = config.unbounded();
        if *self == Self::Any || unbounded.is_empty() {
            return Ok(());
        }
        Err(Unfit { keys: unbounded.join(", ") })
    }
}

/// All ports that `config` has the agent listen on.
fn named(config: &Config) -> BTreeSet<u16> {
    let remote = config.control.remote.as_ref().map(|remote| remote.listen);
    config.listens().chain(remote).map(|address| address.port()).collect()
}

fn restrict(ports: &BTreeSet<u16>) -> Result<RulesetStatus, RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessNet::BindTcp)?.create()?;
    for port in ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, net::TcpListener, thread};

    use super::*;

    fn config(more: &str) -> Config {
        config_at(0, more)
    }

    fn config_at(port: u16, more: &str) -> Config {
        let text = format!("listen = '127.0.0.1:{port}'\nserver.ports = [80]\n{more}");
        Config::parse("f", &text, Some("s")).unwrap()
    }

    #[test]
    fn every_port_of_the_configuration_is_named() {
        let all = "restart.unit = 'shop.service'\nagent_check.listen = ['127.0.0.1:2', '[::1]:3']\n\
                   metrics.listen = '127.0.0.1:4'\n\
                   control = { listen = '127.0.0.1:5', token_file = '/t', \
                   tls = { cert = '/c.pem', key = '/k.pem' } }";
        assert_eq!(named(&config_at(1, all)), BTreeSet::from([1, 2, 3, 4, 5]));
    }

    #[test]
    fn an_agent_that_runs_commands_may_listen_on_any_port() {
        for more in ["restart.command = ['true']", "restart.unit = 'a.service'\nserver.netns = 'blue'"] {
            assert_eq!(Ports::narrow(&config(more)), Ports::Any, "{more}");
        }
    }

    #[test]
    fn a_narrow_agent_takes_no_configuration_whose_commands_would_be_narrow_too() {
        let narrow = Ports::These(BTreeSet::from([1]));
        let (unit, command) = (config("restart.unit = 'a.service'"), config("restart.command = ['true']"));
        assert!(narrow.fit(&unit).is_ok() && Ports::Any.fit(&command).is_ok());
        let text = narrow.fit(&command).unwrap_err().to_string();
        assert!(text.starts_with("restart.command can't") && text.ends_with("restart the agent"), "{text}");
    }

    #[test]
    fn the_kernel_refuses_other_ports_to_the_thread_and_to_those_that_it_starts() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let narrow = thread::spawn(move || {
            let ports = Ports::narrow(&config("restart.unit = 'shop.service'"));
            // The kernel's choice is what the configuration names.
            TcpListener::bind("127.0.0.1:0").unwrap();
            (ports, thread::spawn(move || TcpListener::bind(other)).join().unwrap())
        });
        let (ports, bound) = narrow.join().unwrap();
        if ports == Ports::Any {
            eprintln!("not tested: the kernel has no Landlock for ports");
            return;
        }
        assert!(ports.refuse(other.port()) && !ports.refuse(0));
        assert_eq!(bound.unwrap_err().kind(), ErrorKind::PermissionDenied);
        // Somebody else may have it by now.
        let again = TcpListener::bind(other).map_err(|error| error.kind()).err();
        assert_ne!(again, Some(ErrorKind::PermissionDenied), "other threads are as they were");
    }
}
