//! The `global` section: what holds for the whole process.

use std::time::Duration;

use super::{
    log::Target,
    message::Messages,
    section::Directive,
    server_state::StateFiles,
    settings::{Kind, Reading},
    socket::Sockets,
    time,
    toml::{self, Piece, Table},
};

/// What the `global` section comes to.
#[derive(Clone, Default, Debug)]
pub(super) struct Global {
    /// Keys of `[limits]`.
    limits: Vec<(&'static str, Piece)>,
    pub(super) logs: Vec<Target>,
    pub(super) log_tag: Option<Piece>,
    /// `log-send-hostname`, as TOML has it.
    pub(super) hostname: Option<String>,
    /// `maxconn`, which no frontend can exceed.
    pub(super) connections: Option<u64>,
    /// Sections `http-errors`, by name.
    pub(super) error_groups: Vec<ErrorGroup>,
    /// Where commands are taken.
    pub(super) sockets: Sockets,
    /// Where servers find their state of before.
    pub(super) state_files: StateFiles,
    buffer: Option<(u32, Directive)>,
    reserve: Option<u32>,
    /// Comments of its directives that come to nothing.
    pub(super) comments: Vec<String>,
}

/// A section `http-errors`: a file for each status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ErrorGroup {
    pub(super) name: String,
    pub(super) files: Vec<(u16, String)>,
}

/// HAProxy's `tune.bufsize` and `tune.maxrewrite`.
const BUFFER: u32 = 16_384;
const RESERVE: u32 = 1_024;

impl Global {
    fn limit(&mut self, key: &'static str, piece: Piece) {
        self.limits.retain(|(name, _)| *name != key);
        self.limits.push((key, piece));
    }

    /// `[limits]`; nothing where it has nothing.
    pub(super) fn table(&self, messages: &mut Messages) -> Option<Table> {
        let mut table = Table::new("[limits]", None, self.comments.clone());
        for (key, piece) in &self.limits {
            table.one(*key, piece.clone());
        }
        if let Some((buffer, directive)) = &self.buffer {
            let reserve = self.reserve.unwrap_or(RESERVE);
            match buffer.checked_sub(reserve).filter(|size| *size >= 1024) {
                Some(head) => table.one("head", Piece::of(head.to_string(), directive, 1)),
                None => messages.alert(
                    &directive.place,
                    "'tune.bufsize' leaves no room for a head above 'tune.maxrewrite'",
                ),
            }
        }
        (!table.is_empty() || !self.comments.is_empty()).then_some(table)
    }
}

/// `maxconn`, `nbthread`
pub(super) fn number(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a number") else { return };
    let name = directive.words[0].as_str();
    let key = if name == "nbthread" { "threads" } else { "connections" };
    match text.parse::<u64>() {
        // HAProxy finds its own number then, as this proxy has one.
        Ok(0) if key == "connections" => {}
        Ok(number) => {
            if key == "connections" {
                reading.global.connections = Some(number);
            }
            let piece = reading.piece(number.to_string(), directive);
            reading.global.limit(key, piece);
        }
        Err(_) => {
            reading.alert(&directive.place, format!("'{name}' expects a number, but '{text}' follows."));
        }
    }
}

/// What is to be said beside why a directive is ignored: by these a process gives away its rights in HAProxy.
pub(super) fn keeps_rights(name: &str) -> &'static str {
    let gives_away = ["chroot", "gid", "group", "uid", "user"].contains(&name);
    let is_root = || rustix::process::geteuid().is_root();
    if gives_away && is_root() { "; this process runs as root, and keeps all its rights" } else { "" }
}

/// `hard-stop-after TIME`
pub(super) fn hard_stop_after(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a time") else { return };
    match time::read(text, Duration::from_millis(1)) {
        Some(found) if !found.is_zero() => {
            let piece = reading.piece(time::written(found), directive);
            reading.global.limit("finish", piece);
        }
        _ => reading.alert(
            &directive.place,
            format!("'hard-stop-after' expects a time such as 30s, but '{text}' follows."),
        ),
    }
}

/// `tune.bufsize`, `tune.maxrewrite`
pub(super) fn buffer(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a number of bytes") else { return };
    match text.parse::<u32>() {
        Ok(bytes) if directive.words[0] == "tune.bufsize" => {
            reading.global.buffer = Some((bytes, directive.clone()));
        }
        Ok(bytes) => {
            reading.global.reserve = Some(bytes);
            reading.global.buffer.get_or_insert((BUFFER, directive.clone()));
        }
        Err(_) => {
            let text = format!("'{}' expects a number of bytes, but '{text}' follows.", directive.words[0]);
            reading.alert(&directive.place, text);
        }
    }
}

/// `log-tag NAME`, of the process or of a proxy.
pub(super) fn log_tag(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a tag") else { return };
    let piece = reading.piece(toml::text(text), directive);
    if reading.kind == Kind::Global {
        reading.global.log_tag = Some(piece);
    } else if reading.kind == Kind::Backend {
        let text = "'log-tag' has no effect in a backend: what becomes of its servers is told to the logs of its frontends.";
        reading.messages.warn(&directive.place, text);
    } else {
        reading.settings.log_tag = Some(piece);
    }
}

/// `log-send-hostname [NAME]`
pub(super) fn log_send_hostname(reading: &mut Reading<'_>, directive: &Directive) {
    let name = match reading.arguments(directive) {
        [] => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        [name, ..] => name.clone(),
    };
    reading.global.hostname = Some(toml::text(&name));
}

/// `setenv` and its like have been obeyed when the lines were read.
pub(super) fn environment(reading: &mut Reading<'_>, directive: &Directive) {
    let least = if directive.words[0] == "unsetenv" { 1 } else { 2 };
    if reading.arguments(directive).len() < least {
        let text = format!("'{}' expects a name and a value.", directive.words[0]);
        reading.alert(&directive.place, text);
    }
}
