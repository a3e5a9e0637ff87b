//! `haproxy.cfg`: HAProxy's own language (2.6), read into the same types as the TOML.
//!
//! ```text
//! files ──section──► sections of directives ──directives──► settings ──► TOML ──► Config
//!          lexer       (.if, variables,          (defaults,          │      │
//!          condition    comments)                 no …, order)       └──────┴─► messages with file and line
//! ```
//!
//! A haproxy.cfg is translated to our TOML, and that is read as if it had been written by hand: so both mean the same,
//! each value is checked once, and `drain-proxy import` shows what is meant. Each line of the TOML knows the directive
//! that it comes from; a mistake that is found in it is reported there.
//!
//! Where HAProxy and the TOML have different defaults, HAProxy's is written out. What is not supported is refused, never
//! ignored in silence: [`directives`] has every directive with what becomes of it.

mod backend;
mod bind;
mod check;
mod condition;
mod directives;
mod frontend;
mod global;
mod keyword;
mod lexer;
mod log;
mod message;
mod mistake;
pub(crate) mod nearest;
mod numbers;
mod obey;
mod proxy;
mod rules;
mod section;
mod server;
mod server_state;
mod settings;
mod socket;
mod statistics;
mod table;
mod time;
mod toml;
mod translate;
mod version;

use std::{io, net::SocketAddr, path::Path};

pub use self::{
    message::{Message, Messages, Place, Severity},
    table::table,
    version::VERSION,
};
use self::{toml::Rendered, translate::translate};
use super::Config;

/// A file's name and its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// What a haproxy.cfg comes to.
#[derive(Debug)]
pub struct Import {
    rendered: Rendered,
    /// What is to be said of it. Where it is fatal, the TOML lacks what could not be understood.
    pub messages: Messages,
}

impl Import {
    /// Translates the files, which HAProxy reads as one. `environment` has the variables.
    pub fn of(sources: &[Source], environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut messages = Messages::default();
        let sections = section::read(sources, environment, &mut messages);
        let rendered = translate(&sections, &mut messages);
        Self { rendered, messages }
    }

    /// The TOML that means the same, with the comments of the files.
    pub fn toml(&self) -> &str {
        &self.rendered.text
    }

    /// Reads the TOML; what is wrong with it is said of the directives that it comes from, so that all is said at once.
    /// `lookup` finds the addresses of a host and a port. `None`: something is fatal.
    pub fn read(&mut self, lookup: &dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>) -> Option<Config> {
        // Of a line whose mistake is known, more may only follow from that.
        let known: Vec<Place> = self.messages.alerted().cloned().collect();
        match Config::parse("the translation", self.toml(), lookup) {
            Ok(config) => known.is_empty().then_some(config),
            Err(invalid) => {
                for mistake in invalid.mistakes() {
                    // What stands nowhere is about the whole, and comes from no line.
                    let is_of_all = mistake.place == (0..0);
                    match self.rendered.origin(mistake.place.start).filter(|_| !is_of_all) {
                        Some(origin) if known.contains(&origin.place) => {}
                        Some(origin) if !self.messages.is_hopeless() => {
                            let text = mistake::sentence(mistake, &origin.directive);
                            self.messages.alert(&origin.place, format!("'{}' : {text}.", origin.directive));
                        }
                        None if known.is_empty() => {
                            self.messages.say(Severity::Alert, None, mistake::sentence(mistake, "") + ".");
                        }
                        _ => {}
                    }
                }
                None
            }
        }
    }
}

/// Whether a condition holds, as `-cc` asks; otherwise what is wrong with it.
///
/// # Errors
/// It is no condition.
pub fn holds(condition: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<bool, String> {
    condition::holds(condition, environment)
}

/// The words of a line in HAProxy's language.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let line = lexer::split(line, &|name| std::env::var(name).ok());
    line.map(|line| line.words).map_err(|fault| fault.to_string())
}

/// Whether a file's name ends so, behind a dot.
pub(super) fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == ending)
}

/// Whether a configuration is a haproxy.cfg: by its file's ending, else by its first word.
pub fn is_haproxy(name: &str, text: &str) -> bool {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("toml") => return false,
        Some("cfg") => return true,
        _ => {}
    }
    let first = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.and_then(|line| line.split_ascii_whitespace().next()).is_some_and(|word| {
        section::HEADS.contains(&word) || [".if", ".notice", ".warning", ".diag"].contains(&word)
    })
}

#[cfg(test)]
mod tests;
