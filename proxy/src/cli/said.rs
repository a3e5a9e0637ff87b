//! What is said instead of running: to wrong usage, and to commands that only look.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::CommandFactory;

use super::{CommandLine, INVALID, PAGE, USAGE};
use crate::admin::socket::at_name;
use crate::config::{
    AdminPlace, Config, LoadError,
    haproxy::{Import, Messages},
};

/// What is said instead of running.
#[derive(Debug)]
pub(super) enum Said {
    /// Wrong usage, help or version, as clap has it.
    Usage(clap::Error),
    /// What was asked for, and what stands beside it on standard error.
    Output { text: String, beside: String },
    /// Why there is no configuration.
    Error(String),
    /// The outcome of `-cc`.
    Condition(u8),
}

impl Said {
    pub(super) fn output(text: impl Into<String>) -> Self {
        Self::Output { text: text.into(), beside: String::new() }
    }

    pub(super) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(error) if error.use_stderr() => ExitCode::from(USAGE),
            Self::Usage(_) | Self::Output { .. } => ExitCode::SUCCESS,
            Self::Error(_) => ExitCode::from(INVALID),
            Self::Condition(code) => ExitCode::from(*code),
        }
    }
}

pub(super) fn lines(messages: &Messages) -> String {
    let text = messages.render(std::process::id());
    if text.is_empty() { text } else { text + "\n" }
}

pub(super) fn load(files: &[PathBuf], colours: bool) -> Result<(Config, Messages), Said> {
    Config::load_all(files).map_err(|error| match error {
        LoadError::Invalid(invalid) => Said::Error(invalid.render(colours)),
        LoadError::Unreadable { .. } | LoadError::Empty { .. } | LoadError::Several => {
            Said::Error(format!("error: {error}"))
        }
        LoadError::Haproxy(messages) => Said::Error(messages.render(std::process::id())),
    })
}

pub(super) fn check(files: &[PathBuf], colours: bool) -> Result<Said, Said> {
    let (config, messages) = load(files, colours)?;
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Ok(Said::Output { text: summary(&names.join(", "), &config), beside: lines(&messages) })
}

pub(super) fn import(files: &[PathBuf]) -> Result<Said, Said> {
    let sources = Config::sources(files).map_err(|error| Said::Error(format!("error: {error}")))?;
    let import = Import::of(&sources, &|name| std::env::var(name).ok());
    if import.messages.is_fatal() {
        return Err(Said::Error(import.messages.render(std::process::id())));
    }
    let beside = match import.messages.sorted().len() {
        0 => "Nothing changes its meaning.\n".to_owned(),
        count => format!("{}{count} to look at.\n", lines(&import.messages)),
    };
    Ok(Said::Output { text: import.toml().trim_end().to_owned(), beside })
}

pub(super) fn generate(directory: &Path) -> Said {
    match drain_documents::write(CommandLine::command(), &PAGE, directory) {
        Ok(()) => Said::output(format!("written below {}", directory.display())),
        Err(error) => Said::Error(format!("error: can't write to {}: {error}", directory.display())),
    }
}

/// What the proxy of this configuration says that was changed.
pub(super) fn changes(config: &Config) -> Said {
    // One of which only a number is known can't be found from outside of the process.
    let is_found = |at: &&AdminPlace| !matches!(at, AdminPlace::Descriptor(_));
    let Some(at) = config.admin.sockets.iter().map(|socket| &socket.at).find(is_found) else {
        return Said::Error(
            "error: the configuration has no `admin.socket` at which a proxy could be asked".to_owned(),
        );
    };
    match ask(at, "show changes") {
        Ok(text) if text.trim().is_empty() => Said::output("nothing was changed"),
        Ok(text) => Said::output(text.trim_end()),
        Err(error) => Said::Error(format!("error: no proxy answers at {at}: {error}")),
    }
}

/// What a proxy says to this command.
fn ask(at: &AdminPlace, command: &str) -> io::Result<String> {
    match at {
        AdminPlace::File(path) => answer(UnixStream::connect(path)?, command),
        AdminPlace::Abstract(name) => answer(UnixStream::connect_addr(&at_name(name)?)?, command),
        // The kernel takes an unspecified address for this machine.
        AdminPlace::Address(address) => answer(TcpStream::connect(address)?, command),
        AdminPlace::Descriptor(_) => Err(io::ErrorKind::NotFound.into()),
    }
}

fn answer(mut stream: impl Read + Write, command: &str) -> io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// One line for a file that is valid.
fn summary(file: &str, config: &Config) -> String {
    let frontends: Vec<_> = config
        .frontends
        .iter()
        .map(|frontend| {
            let backend = &config.backends[frontend.backend.0];
            let binds: Vec<_> = frontend.bind.iter().map(ToString::to_string).collect();
            let servers = match backend.servers.len() {
                1 => "1 server".to_owned(),
                count => format!("{count} servers"),
            };
            format!("{} on {} to {servers} of {}", frontend.name, binds.join(", "), backend.name)
        })
        .collect();
    format!("{file} is valid: {}", frontends.join("; "))
}
