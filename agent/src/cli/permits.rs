//! What the agents' user is permitted: polkit's rule asks `drain-agent permits`.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{runtime, time::timeout};

use crate::{
    config::{By, Config},
    systemd::bus::Systemd,
};

/// How long systemd may take to tell of the configured units: polkit waits for 10 s.
const WITHIN: Duration = Duration::from_secs(8);

/// Whether `unit` is one that a configuration in `directory` has systemd restart, or one of its sockets. It must be
/// there: who may start a unit that is not could make one of that name.
pub(super) fn permits(unit: &str, directory: &Path) -> bool {
    let configured = configured(directory);
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return false };
    runtime.block_on(async { timeout(WITHIN, is_one_of(unit, &configured)).await }).unwrap_or(false)
}

async fn is_one_of(unit: &str, configured: &[Arc<str>]) -> bool {
    let Ok(systemd) = Systemd::connect().await else { return false };
    for service in configured {
        if systemd.standing(service).await.is_ok_and(|standing| standing.is_or_has_socket(unit)) {
            return true;
        }
    }
    false
}

/// The units that the configurations in `directory` have systemd restart. One that is not valid has none.
fn configured(directory: &Path) -> Vec<Arc<str>> {
    let unit = |config: Config| match config.restart.by {
        By::Unit { unit, .. } => Some(unit),
        By::Command(_) => None,
    };
    Config::all_in(directory).filter_map(|(_, config)| unit(config)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn exactly_the_units_of_valid_configurations_are_configured() {
        let directory = Scratch::new("permits");
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        write("a.toml", "server.ports = [80]\nrestart.unit = 'shop.service'");
        write("b.toml", "server.ports = [80]\nrestart.unit = 'invalid.service'\nnonsense = 1");
        write("c.txt", "server.ports = [80]\nrestart.unit = 'other.service'");
        write("d.toml", "server.ports = [80]\nrestart.command = ['true']");
        assert_eq!(configured(directory.path()), ["shop.service".into()]);
    }
}
