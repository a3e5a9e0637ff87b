//! What `check` tells of a configuration that is valid: what systemd has otherwise.

use std::{path::Path, time::Duration};

use tokio::{runtime, time::timeout};

use crate::{config::Config, doctor, setup::Plan};

/// There where systemd is process 1 (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";

/// How long systemd may take: `check` stands before each reload of the agent.
const WITHIN: Duration = Duration::from_secs(2);

/// The warnings for the configuration that stands in `file`, one in each line. The agent runs all the same: it answers
/// the balancers however its server is.
pub(super) fn warnings(file: &Path, config: &Config) -> String {
    let Some(name) = file.file_stem().filter(|_| Path::new(BOOTED).exists()) else { return String::new() };
    let service = Plan::service_of(&name.to_string_lossy());
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else {
        return String::new();
    };
    let found = runtime.block_on(async { timeout(WITHIN, doctor::differences(config, &service)).await });
    let found = found.unwrap_or_default().into_iter();
    found
        .map(|finding| format!("warning: {}; {}\n", finding.text, finding.cure.unwrap_or_default()))
        .collect()
}
