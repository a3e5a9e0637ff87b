//! What the agent does without until it is mended: whatever is not needed to answer the balancers.
//!
//! An agent that begins answers its balancers even where nobody can ask it anything. What it lacks is an error in the
//! log, a count in the metrics and a warning in the status, as long as it lasts; at each reload it is tried again.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;
use tracing::{error, info};

use crate::metrics::{Counters, Failed};

/// What can be missing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// The control socket.
    ControlSocket,
    /// The group whose members may drain.
    ControlGroup,
    /// The group whose members may look.
    ControlLook,
    /// The HTTPS control port, or its new files.
    ControlPort,
    /// The port of the metrics.
    Metrics,
}

/// The faults of all parts, each with its text for people. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    present: Arc<watch::Sender<Present>>,
    counters: Counters,
}

/// Those that are present.
pub type Present = BTreeMap<Part, String>;

impl Faults {
    /// None yet; each that comes is counted there.
    pub fn new(counters: Counters) -> Self {
        Self { present: Arc::default(), counters }
    }

    /// A part can't be had: why, what follows from it, and the cure.
    pub fn found(&self, part: Part, text: &str) {
        error!("{text}");
        self.counters.failed(Failed::Part(part));
        self.present.send_if_modified(|present| {
            let before = present.insert(part, text.to_owned());
            before.is_none_or(|before| before != text)
        });
    }

    /// A part is as it should be.
    pub fn mended(&self, part: Part) {
        if self.present.send_if_modified(|present| present.remove(&part).is_some()) {
            info!("{} is mended", part.name().replace('_', " "));
        }
    }

    /// Those that are present, as they come and go.
    pub fn watch(&self) -> watch::Receiver<Present> {
        self.present.subscribe()
    }
}

impl Part {
    /// As the metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlSocket => "control_socket",
            Self::ControlGroup => "control_group",
            Self::ControlLook => "control_look",
            Self::ControlPort => "control_port",
            Self::Metrics => "metrics_port",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_there_until_it_is_mended() {
        let faults = Faults::default();
        let mut watch = faults.watch();
        faults.found(Part::Metrics, "in use");
        assert!(watch.has_changed().unwrap());
        assert_eq!(watch.borrow_and_update().get(&Part::Metrics).map(String::as_str), Some("in use"));
        faults.mended(Part::ControlPort);
        faults.found(Part::Metrics, "in use");
        assert!(!watch.has_changed().unwrap(), "nothing new");
        faults.mended(Part::Metrics);
        assert!(watch.has_changed().unwrap() && watch.borrow_and_update().is_empty());
    }
}
