//! Which agent, and the way to it: a socket of this host, or the HTTPS port of another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use drain_agent::config::{SOCKETS, socket_of};

use crate::{client::Way, remote::Remote, verdict::Fault};

/// What the command line says about the agent that is meant.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The server's name, where several agents run on this host
    #[arg(short = 'n', long, global = true)]
    pub(crate) name: Option<String>,
    /// The agent's control socket [default: /run/drain-agent/NAME.sock, or the only one there]
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "name")]
    pub(crate) socket: Option<PathBuf>,
    /// An agent on another host: where it has its HTTPS port
    #[arg(long, global = true, value_name = "https://HOST:PORT", conflicts_with_all = ["name", "socket"])]
    url: Option<String>,
    /// With --url: the file with one of the tokens that the agent knows, or its line `NAME TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With --url: whose certificates are trusted, PEM [default: those whom this host trusts]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With --url: a certificate of our own, PEM, where the agent wants to see one
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// With --url: the key of that certificate
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Place {
    /// The agent's socket, for what is done on its own host.
    pub(crate) fn socket(&self) -> Result<PathBuf, Fault> {
        let file = self.files().into_iter().find(|(_, file)| file.is_some()).map(|(option, _)| option);
        match (&self.url, file) {
            (Some(_), _) => {
                return Err(Fault::Usage("this is done on the agent's own host, without --url".to_owned()));
            }
            (None, Some(option)) => {
                return Err(Fault::Usage(format!(
                    "{option} is for an agent on another host: give --url, too"
                )));
            }
            (None, None) => {}
        }
        match (&self.socket, &self.name) {
            (Some(path), _) => Ok(path.clone()),
            (None, Some(name)) => Ok(socket_of(name)),
            (None, None) => only_one(Path::new(SOCKETS)),
        }
    }

    /// The way to it.
    pub(crate) fn way(&self) -> Result<Way, Fault> {
        let Some(url) = &self.url else { return self.socket().map(Way::Socket) };
        let usage = |text: &str| Fault::Usage(text.to_owned());
        let token_file = self.token_file.as_ref();
        let token_file = token_file
            .ok_or_else(|| usage("--url needs --token-file FILE: without a token nobody is answered"))?;
        let own = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.as_path(), key.as_path())),
            (None, None) => None,
            _ => return Err(usage("--cert and --key go together")),
        };
        Ok(Way::Remote(Remote::new(url, token_file, self.ca.as_deref(), own)?))
    }

    /// What people type to reach the same agent.
    pub(crate) fn spelled(&self) -> String {
        match (&self.url, &self.name, &self.socket) {
            (Some(url), ..) => {
                let files = self.files().into_iter();
                let files = files.filter_map(|(option, file)| Some(format!(" {option} {}", file?.display())));
                format!("drainctl --url {url}{}", files.collect::<String>())
            }
            (None, Some(name), _) => format!("drainctl -n {name}"),
            (None, None, Some(socket)) => format!("drainctl --socket {}", socket.display()),
            (None, None, None) => "drainctl".to_owned(),
        }
    }

    /// What goes with a URL only.
    fn files(&self) -> [(&'static str, Option<&Path>); 4] {
        [
            ("--token-file", self.token_file.as_deref()),
            ("--ca", self.ca.as_deref()),
            ("--cert", self.cert.as_deref()),
            ("--key", self.key.as_deref()),
        ]
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
