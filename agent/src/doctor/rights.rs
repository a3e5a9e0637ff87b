//! Whether the agent's user has the rights that its configuration needs.

use std::path::Path;

use rustix::process::geteuid;

use super::Finding;
use crate::{
    config::{By, Config, Of},
    systemd::{cgroup, polkit},
};

const ABOUT: &str = "rights";

/// What this agent may not do that the configuration in `file` wants.
pub(super) async fn missing(config: &Config, file: Option<&Path>) -> Vec<Finding> {
    if geteuid().is_root() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if cgroup::own_service().is_some() {
        findings.extend(beyond_a_user(config));
    }
    if matches!(config.restart.by, By::Unit { .. }) {
        findings.push(match polkit::hindrance(file).await {
            Some(hindrance) => Finding::failure(ABOUT, hindrance.to_string(), hindrance.cure()),
            None => Finding::ok(ABOUT, "polkit knows what the agent's user may restart"),
        });
    }
    findings
}

/// What in a configuration needs root and no sandbox, of an agent whose unit has a user of its own; nothing where nothing
/// does.
pub(super) fn beyond_a_user(config: &Config) -> Option<Finding> {
    let mut keys = config.unbounded();
    let weight = config.agent_check.as_ref().and_then(|agent_check| agent_check.weight.as_ref());
    // Of a unit's processes systemd tells.
    let commanded = matches!(config.restart.by, By::Command(_));
    if weight.is_some_and(|weight| commanded && weight.of == Of::Server) {
        keys.push("agent_check.weight.of".to_owned());
    }
    (!keys.is_empty()).then(|| {
        Finding::warning(
            ABOUT,
            format!("{} can do little as the agent's user and in the sandbox of its unit", keys.join(", ")),
            "install /usr/share/doc/drain-agent/examples/root.conf as \
             /etc/systemd/system/drain-agent@.service.d/root.conf, `systemctl daemon-reload`, and restart the agents",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_root_is_named_and_what_does_not_is_not() {
        let of = |lines: &str| {
            let text = format!("listen = '0.0.0.0:8404'\nserver.ports = [80]\n{lines}");
            beyond_a_user(&Config::parse("f", &text, Some("s")).unwrap()).map(|finding| finding.text)
        };
        let weight =
            "agent_check = { listen = '0.0.0.0:8405', weight = { cpu = [60, 95], of = 'server' } }\n";
        assert_eq!(of(&format!("{weight}restart.unit = 'shop.service'")), None);
        let text = of(&format!("{weight}restart.command = ['true']")).unwrap();
        assert!(text.starts_with("restart.command, agent_check.weight.of can do little"), "{text}");
        let all = "restart.command = ['true']\nrestart.stop = ['true']\nrun.upgrade.command = ['true']\n\
                   server.netns = 'blue'";
        let text = of(all).unwrap();
        assert!(
            text.starts_with(
                "restart.command, restart.stop, run.upgrade.command, server.netns can do little"
            ),
            "{text}"
        );
    }
}
