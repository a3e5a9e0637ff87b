//! The `global` section: what holds for the whole process.

use std::time::Duration;

use super::{
    log::Target,
    message::Messages,
    section::Directive,
    settings::{Kind, Reading},
    time,
    toml::{self, Piece, Table},
};
use crate::config::admin::{AdminSocket, Level};

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
    /// `stats socket` lines.
    pub(super) sockets: Vec<(AdminSocket, Piece)>,
    timeout: Option<Duration>,
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

    /// `[admin]`, with the first socket; nothing where there is none. The TOML has room for one.
    pub(super) fn admin(&self) -> Option<Table> {
        let (socket, path) = self.sockets.first()?;
        let others = self.sockets[1..].iter().map(|(socket, _)| {
            format!(
                "There is room for one socket here, and another is in haproxy.cfg: {}",
                socket.path.display()
            )
        });
        let mut table = Table::new("[admin]", path.origin.clone(), others.collect());
        table.one("socket", Piece { comments: Vec::new(), ..path.clone() });
        table.one("level", Piece::default(toml::text(socket.level.word())));
        if let Some(mode) = socket.mode {
            table.one("mode", Piece::default(format!("\"{mode:o}\"")));
        }
        if let Some(group) = &socket.group {
            table.one("group", Piece::default(toml::text(group)));
        }
        if let Some(timeout) = self.timeout {
            table.one("timeout", Piece::default(time::written(timeout)));
        }
        Some(table)
    }

    /// All sockets.
    pub(super) fn all_sockets(&self) -> Vec<AdminSocket> {
        let timeout = |socket: &AdminSocket| self.timeout.unwrap_or(socket.timeout);
        self.sockets
            .iter()
            .map(|(socket, _)| AdminSocket { timeout: timeout(socket), ..socket.clone() })
            .collect()
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

/// `stats socket PATH [level L] [mode M] [user U] [group G]`
pub(super) fn stats_socket(reading: &mut Reading<'_>, directive: &Directive) {
    let what = "'stats socket'";
    let Some((path, words)) = reading.arguments(directive).split_first() else {
        return reading.alert(&directive.place, format!("{what} expects a path."));
    };
    let path = path.strip_prefix("unix@").unwrap_or(path);
    if path.starts_with("fd@") {
        let text = format!("{what} : '{path}' is ignored: commands are taken on sockets with a path");
        return reading.messages.warn(&directive.place, text);
    }
    if !path.starts_with('/') {
        let text = format!(
            "{what} : '{path}' is not supported: commands are taken on a socket with an absolute path"
        );
        return reading.alert(&directive.place, text);
    }
    // HAProxy's own: whoever may connect may look, and nothing says who may connect.
    let mut socket = AdminSocket { level: Level::Operator, mode: None, ..AdminSocket::new(path.into()) };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let argument = words.next().unwrap_or_default();
        match word {
            "level" => {
                let levels = [Level::User, Level::Operator, Level::Admin];
                let Some(level) = levels.into_iter().find(|level| level.word() == argument) else {
                    let text = format!(
                        "{what} : 'level' only supports 'user', 'operator', and 'admin' (got '{argument}')"
                    );
                    return reading.alert(&directive.place, text);
                };
                socket.level = level;
            }
            "mode" => match u32::from_str_radix(argument, 8) {
                Ok(mode) if mode <= 0o777 => socket.mode = Some(mode),
                _ => {
                    return reading.alert(
                        &directive.place,
                        format!("{what} : 'mode' expects octal digits (got '{argument}')"),
                    );
                }
            },
            "user" => socket.user = Some(argument.into()),
            "group" => socket.group = Some(argument.into()),
            "expose-fd" | "process" | "severity-output" | "name" | "id" | "backlog" | "maxconn" | "uid"
            | "gid" => {
                let text = format!("{what} : '{word} {argument}' is ignored");
                reading.messages.warn(&directive.place, text);
            }
            unknown => {
                return reading.alert(&directive.place, format!("{what} : unknown keyword '{unknown}'"));
            }
        }
    }
    let piece = reading.piece(toml::text(path), directive);
    reading.global.sockets.push((socket, piece));
}

/// `stats timeout TIME`
pub(super) fn stats_timeout(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a time") else { return };
    match time::read(text, Duration::from_millis(1)) {
        Some(found) if !found.is_zero() => reading.global.timeout = Some(found),
        _ => {
            let text = format!("'stats timeout' expects a time such as 30s, but '{text}' follows.");
            reading.alert(&directive.place, text);
        }
    }
}

/// `setenv` and its like have been obeyed when the lines were read.
pub(super) fn environment(reading: &mut Reading<'_>, directive: &Directive) {
    let least = if directive.words[0] == "unsetenv" { 1 } else { 2 };
    if reading.arguments(directive).len() < least {
        let text = format!("'{}' expects a name and a value.", directive.words[0]);
        reading.alert(&directive.place, text);
    }
}
