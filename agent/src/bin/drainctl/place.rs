//! Which agent: where its socket is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::verdict::Fault;

/// Where agents have their sockets unless they are configured otherwise.
const DIRECTORY: &str = "/run/drain-agent";

/// What the command line says about the agent that is meant.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: Option<String>,
    pub(crate) socket: Option<PathBuf>,
}

impl Place {
    /// The agent's socket.
    pub(crate) fn socket(&self) -> Result<PathBuf, Fault> {
        match (&self.socket, &self.name) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(name)) => Ok(Path::new(DIRECTORY).join(format!("{name}.sock"))),
            (None, None) => only_one(Path::new(DIRECTORY)),
        }
    }

    /// What people type to reach the same agent.
    pub(crate) fn spelled(&self) -> String {
        match (&self.name, &self.socket) {
            (Some(name), _) => format!("drainctl -n {name}"),
            (None, Some(socket)) => format!("drainctl --socket {}", socket.display()),
            (None, None) => "drainctl".to_owned(),
        }
    }
}

/// The one socket in `directory`.
fn only_one(directory: &Path) -> Result<PathBuf, Fault> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "sock") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    match &names[..] {
        [] => Err(Fault::NoAgents(format!(
            "no agent's socket is in {}; is drain-agent running? (--socket PATH names another place)",
            directory.display()
        ))),
        [name] => Ok(directory.join(format!("{name}.sock"))),
        several => Err(Fault::Usage(format!(
            "several agents are here: {}; say which one with -n NAME",
            several.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_may_be_left_out_where_there_is_one() {
        let directory = std::env::temp_dir().join(format!("drainctl-place-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert!(matches!(only_one(&directory), Err(Fault::NoAgents(_))));
        fs::write(directory.join("shop.sock"), "").unwrap();
        fs::write(directory.join("shop.sock.new"), "").unwrap();
        assert_eq!(only_one(&directory).unwrap(), directory.join("shop.sock"));
        fs::write(directory.join("api.sock"), "").unwrap();
        let Err(Fault::Usage(text)) = only_one(&directory) else { panic!("expected a usage fault") };
        assert_eq!(text, "several agents are here: api, shop; say which one with -n NAME");
        fs::remove_dir_all(&directory).unwrap();
    }
}
