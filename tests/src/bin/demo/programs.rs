//! The programs that the demo shows, built by the cargo that runs it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

/// Where the built programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) ctl: PathBuf,
    pub(crate) proxy: PathBuf,
}

impl Programs {
    /// Builds them with the profile `dev`. Cargo says on stderr what it does, and where the results are.
    pub(crate) async fn build() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = Command::new(&cargo)
            // Of the whole workspace, as cargo has built this program: with the same features of the dependencies.
            .args(["build", "--bin", "drain-agent", "--bin", "drainctl", "--bin", "drain-proxy"])
            .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
            .arg(manifest)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("running {}", cargo.display()))?;
        if !output.status.success() {
            bail!("{} build: {}", cargo.display(), output.status);
        }
        let mut built = executables(&String::from_utf8_lossy(&output.stdout));
        let mut find = |name: &str| {
            built.remove(name).with_context(|| format!("cargo has built no program of the name {name}"))
        };
        Ok(Self { agent: find("drain-agent")?, ctl: find("drainctl")?, proxy: find("drain-proxy")? })
    }
}

/// What cargo says of each thing that it has built; most fields are left out.
#[derive(Debug, Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

/// The programs in cargo's messages, by name.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_with_an_executable_count() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"drain_agent"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"drainctl"},"executable":"/t/debug/drainctl"}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = executables(messages);
        assert_eq!(found.len(), 1);
        assert_eq!(found["drainctl"], Path::new("/t/debug/drainctl"));
    }
}
