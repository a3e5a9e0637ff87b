//! Another configuration for an owner that runs.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::{Outside, Owner};
use crate::{
    config::Config,
    lifecycle::Event,
    signals::Signal,
    traffic::{sockets::Doors, sources::Sources},
};

impl<O: Outside> Owner<O> {
    /// Reads the configuration again; a bad one is told, and the old one kept.
    pub(super) async fn reload(&mut self, signal: &Signal) {
        let (config, outside) = match self.outside.reload() {
            Ok(reloaded) => reloaded,
            Err(why) => {
                return error!(
                    by = signal.to_string(),
                    "the configuration is not reloaded, the old one holds: {why}"
                );
            }
        };
        let later = later(&self.config, &config);
        if !later.is_empty() {
            warn!(
                "from the agent's next start on, but for a control socket or port that is closed now: {}; the rest holds now",
                later.join(", ")
            );
        }
        Arc::make_mut(&mut self.core.table).reload(config.balancers.clone(), config.drain.fall.get());
        self.outside = Arc::new(outside);
        self.identity = None;
        self.readings.begin_anew();
        // What was seen of other ports says nothing.
        if config.drain.long_lived != self.config.drain.long_lived
            || Doors::from(&config.server) != Doors::from(&self.config.server)
            || config.traffic != self.config.traffic
        {
            self.sources = Sources::of(&config);
        }
        // What the new readers find begins with them: nobody has seen what came between.
        self.sources.read_anew();
        let rules = (&config).into();
        self.shown_config.send_replace(Arc::new(config.clone()));
        self.config = config;
        info!(by = signal.to_string(), "the configuration is reloaded");
        let _ = self.step(Event::Reloaded(rules)).await;
    }
}

/// The keys that are others in `new` and that an agent takes at its start only: by them it is found by those who ask it,
/// and finds what it has written.
fn later(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("listen", old.listen != new.listen),
        ("state", old.state != new.state),
        ("report.history", old.report.history != new.report.history),
        ("agent_check", old.agent_check != new.agent_check),
        ("control.socket", old.control.socket != new.control.socket),
        ("control.listen", old.control.listen() != new.control.listen()),
    ];
    keys.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_hold_later_are_named_and_no_others() {
        let of = |more: &str| {
            let text =
                format!("listen = '127.0.0.1:1'\nserver.ports = [80]\nrestart.command = ['true']\n{more}");
            Config::parse("f", &text, Some("s")).unwrap()
        };
        let old = of("");
        for (more, expected) in [
            ("", &[][..]),
            ("metrics.listen = '127.0.0.1:9404'\ncontrol.group = 'root'\ndrain.fall = 5", &[]),
            ("state = '/tmp/a.json'", &["state", "report.history"]),
            (
                "agent_check.listen = '127.0.0.1:2'\ncontrol.socket = '/tmp/a.sock'",
                &["agent_check", "control.socket"],
            ),
        ] {
            assert_eq!(later(&old, &of(more)), expected, "{more}");
        }
    }
}
