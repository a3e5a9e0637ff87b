//! `stats socket`: where commands are taken.

use std::time::Duration;

use super::{
    bind,
    message::Messages,
    nearest::did_you_mean,
    section::Directive,
    settings::Reading,
    time,
    toml::{self, Piece, Table},
};
use crate::config::{AdminLevel, AdminPlace};

const WHAT: &str = "'stats socket'";

/// Where commands are taken.
#[derive(Clone, Default, Debug)]
pub(super) struct Sockets {
    sockets: Vec<Socket>,
    timeout: Option<Duration>,
}

/// A socket, as `stats socket` describes it.
#[derive(Clone, Debug)]
struct Socket {
    at: AdminPlace,
    level: AdminLevel,
    mode: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    connections: Option<u32>,
    directive: Directive,
}

/// What a `stats socket` line takes that `bind` does not.
const WORDS: [&str; 9] =
    ["level", "mode", "user", "group", "uid", "gid", "maxconn", "expose-fd", "severity-output"];

impl Sockets {
    /// `[admin]`; nothing where there is no socket.
    pub(super) fn table(&self) -> Option<Table> {
        let first = self.sockets.first()?;
        let origin = toml::Origin::of(&first.directive, 2);
        let mut table = Table::new("[admin]", Some(origin), Vec::new());
        if let Some(timeout) = self.timeout {
            table.one("timeout", Piece::default(time::written(timeout)));
        }
        if let [only] = self.sockets.as_slice() {
            let mut keys = only.keys().into_iter();
            let at = keys.next().map(|(_, at)| at).unwrap_or_default();
            table.one("socket", Piece::of(at, &only.directive, 2));
            keys.for_each(|(key, value)| table.one(key, Piece::default(value)));
        } else {
            let piece = |socket: &Socket| Piece::of(toml::table(&socket.keys()), &socket.directive, 2);
            table.list("socket", self.sockets.iter().map(piece).collect());
        }
        Some(table)
    }
}

impl Socket {
    fn keys(&self) -> Vec<(&'static str, String)> {
        let mut keys = vec![("at", toml::text(&self.at.to_string()))];
        keys.push(("level", toml::text(self.level.word())));
        keys.extend(self.connections.map(|most| ("connections", most.to_string())));
        if let AdminPlace::File(_) = self.at {
            let mode = self.mode.map_or_else(|| "umask".to_owned(), |mode| format!("{mode:o}"));
            keys.push(("mode", toml::text(&mode)));
            for (key, name) in [("user", &self.user), ("group", &self.group)] {
                keys.extend(name.as_ref().map(|name| (key, toml::text(name))));
            }
        }
        keys
    }
}

/// `stats socket PLACE[,…] [level L] [mode M] [user U] [group G] [KEYWORD…]`
pub(super) fn stats_socket(reading: &mut Reading<'_>, directive: &Directive) {
    let Some((places, words)) = reading.arguments(directive).split_first() else {
        return reading.alert(&directive.place, format!("{WHAT} expects [address:port] or a path."));
    };
    // HAProxy's own: whoever may connect may look, and nothing says who may connect.
    let mut socket = Socket {
        at: AdminPlace::Descriptor(0),
        level: AdminLevel::Operator,
        mode: None,
        user: None,
        group: None,
        connections: None,
        directive: Directive { comments: Vec::new(), ..directive.clone() },
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if let Err(wrong) = socket.read(word, &mut words, directive, reading.messages) {
            return reading.alert(&directive.place, format!("{WHAT} : {wrong}"));
        }
    }
    for text in places.split(',') {
        let places = match places_of(text) {
            Ok(places) => places,
            Err(wrong) => return reading.alert(&directive.place, format!("{WHAT} : '{text}' {wrong}")),
        };
        for at in places {
            if at.is_exposed() {
                let text = format!(
                    "{WHAT} : whoever reaches {at} may give commands as {}, without a password: write 127.0.0.1 or a path, unless nobody else can reach it",
                    socket.level.word()
                );
                reading.messages.warn(&directive.place, text);
            }
            if let Some(text) = socket.unused_rights(&at) {
                reading.messages.warn(&directive.place, text);
            }
            let comments = if reading.global.sockets.sockets.is_empty() {
                directive.comments.clone()
            } else {
                Vec::new()
            };
            let directive = Directive { comments, ..directive.clone() };
            reading.global.sockets.sockets.push(Socket { at, directive, ..socket.clone() });
        }
    }
}

impl Socket {
    /// What says who may open a file, and has no effect where there is none.
    fn unused_rights(&self, at: &AdminPlace) -> Option<String> {
        let said =
            [("mode", self.mode.is_some()), ("user", self.user.is_some()), ("group", self.group.is_some())];
        let words: Vec<_> = said.iter().filter(|(_, is_said)| *is_said).map(|(word, _)| *word).collect();
        if words.is_empty() || matches!(at, AdminPlace::File(_)) {
            return None;
        }
        let words = words.join("', '");
        Some(format!("{WHAT} : '{words}' has no effect on {at}, which is no file: leave it out"))
    }

    /// Takes a keyword, and what belongs to it from `words`.
    fn read<'w>(
        &mut self,
        word: &str,
        words: &mut impl Iterator<Item = &'w str>,
        directive: &Directive,
        messages: &mut Messages,
    ) -> Result<(), String> {
        let mut argument = || words.next().unwrap_or_default();
        let mut ignored = |text: String| messages.warn(&directive.place, format!("{WHAT} : {text}"));
        match word {
            "level" => {
                let argument = argument();
                let levels = [AdminLevel::User, AdminLevel::Operator, AdminLevel::Admin];
                let level = levels.into_iter().find(|level| level.word() == argument);
                self.level = level.ok_or_else(|| {
                    format!("'level' only supports 'user', 'operator', and 'admin' (got '{argument}')")
                })?;
            }
            "mode" => {
                let argument = argument();
                let mode = u32::from_str_radix(argument, 8).ok().filter(|mode| *mode <= 0o777);
                self.mode = Some(mode.ok_or_else(|| format!("'mode' expects octal digits (got '{argument}')"))?);
            }
            "maxconn" => {
                let argument = argument();
                let most = argument.parse().ok().filter(|most: &u32| *most > 0);
                self.connections =
                    Some(most.ok_or_else(|| format!("'maxconn' expects a number above 0 (got '{argument}')"))?);
            }
            "user" | "uid" => self.user = Some(named(word, argument())?),
            "group" | "gid" => self.group = Some(named(word, argument())?),
            "expose-fd" => match argument() {
                "listeners" => ignored(
                    "'expose-fd listeners' is ignored: at SIGUSR2 the listening sockets are handed over without it".into(),
                ),
                other => return Err(format!("'expose-fd' only supports 'listeners' (got '{other}')")),
            },
            "severity-output" => match argument() {
                "none" => {}
                other => ignored(format!("'severity-output {other}' is ignored: answers are the same for all")),
            },
            other => match bind::KEYWORDS.iter().find(|(known, _)| *known == other) {
                Some((_, bind::Takes::Ignored(count, why))) => {
                    words.by_ref().take(*count).for_each(|_| {});
                    if !why.is_empty() {
                        ignored(format!("'{other}' is ignored: {why}"));
                    }
                }
                Some(_) => return Err(format!("'{other}' is not supported for commands: leave it out")),
                None => {
                    let known = WORDS.into_iter().chain(bind::KEYWORDS.iter().map(|(name, _)| *name));
                    return Err(format!("unknown keyword '{other}'{}", did_you_mean(other, known)));
                }
            },
        }
        Ok(())
    }
}

fn named(keyword: &str, name: &str) -> Result<String, String> {
    let is_sound = !name.is_empty() && (!keyword.ends_with("id") || name.parse::<u32>().is_ok());
    let wanted = if keyword.ends_with("id") { "a number" } else { "a name" };
    is_sound.then(|| name.to_owned()).ok_or_else(|| format!("'{keyword}' expects {wanted} (got '{name}')"))
}

/// Each single place that is meant.
fn places_of(text: &str) -> Result<Vec<AdminPlace>, String> {
    let refused = || {
        "is no place where commands can be taken: expected such as /run/admin.sock, 127.0.0.1:9999, abns@NAME or fd@3"
            .to_owned()
    };
    let in_file = ["unix@", "uxst@"].iter().find_map(|family| text.strip_prefix(family));
    let text = in_file.unwrap_or(text);
    if in_file.is_some() && !text.starts_with('/') {
        return Err("is no absolute path".into());
    }
    if let Some(place) = AdminPlace::read(text) {
        return Ok(vec![place]);
    }
    let addresses = bind::expand(text, false).map_err(|_| refused())?;
    addresses.iter().map(|address| AdminPlace::read(address).ok_or_else(refused)).collect()
}

/// `stats timeout TIME`
pub(super) fn stats_timeout(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a time") else { return };
    match time::read(text, Duration::from_millis(1)) {
        Some(found) if !found.is_zero() => reading.global.sockets.timeout = Some(found),
        _ => {
            let text = format!("'stats timeout' expects a time such as 30s, but '{text}' follows.");
            reading.alert(&directive.place, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Import, Source};
    use super::*;
    use crate::config::AdminSocket;

    /// What these lines of `global` come to, with what is said of them.
    fn imported(lines: &str) -> (Option<Vec<AdminSocket>>, String) {
        let text = format!(
            "global\n{lines}\ndefaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n\
             frontend f\n bind 127.0.0.1:80\n default_backend b\nbackend b\n"
        );
        let mut import = Import::of(&[Source { name: "a.cfg".into(), text }], &|_| None);
        let config = import.read(&|_, _| Ok(Vec::new()));
        (config.map(|config| config.admin.sockets), import.messages.render(1))
    }

    fn socket(at: &str, level: AdminLevel) -> AdminSocket {
        AdminSocket { level, mode: None, ..AdminSocket::new(AdminPlace::read(at).unwrap()) }
    }

    #[test]
    fn every_form_of_haproxys_is_taken_with_its_own_level() {
        let lines = " stats socket /run/a.sock mode 660 level admin uid 0 group www\n \
             stats socket ipv4@127.0.0.1:9999 level user\n stats socket [::1]:9998,localhost:9997 level operator\n \
             stats socket abns@x process 1 expose-fd listeners\n stats socket \"fd@7\" level admin\n stats timeout 5s";
        let (sockets, said) = imported(lines);
        let patient = |socket| AdminSocket { timeout: Duration::from_secs(5), ..socket };
        let in_memory = |at, level| AdminSocket { mode: Some(0o600), ..socket(at, level) };
        let expected = [
            AdminSocket {
                mode: Some(0o660),
                user: Some("0".into()),
                group: Some("www".into()),
                ..socket("/run/a.sock", AdminLevel::Admin)
            },
            in_memory("127.0.0.1:9999", AdminLevel::User),
            in_memory("[::1]:9998", AdminLevel::Operator),
            in_memory("127.0.0.1:9997", AdminLevel::Operator),
            in_memory("abns@x", AdminLevel::Operator),
            in_memory("fd@7", AdminLevel::Admin),
        ];
        assert_eq!(sockets.as_deref(), Some(expected.map(patient).as_slice()), "{said}");
        assert!(!said.contains("password") && said.contains("'expose-fd listeners' is ignored"), "{said}");
        let (sockets, _) = imported(" stats socket unix@/run/a.sock");
        assert_eq!(sockets.unwrap(), [socket("/run/a.sock", AdminLevel::Operator)]);
    }

    #[test]
    fn a_port_that_others_may_reach_is_a_warning() {
        for at in [":9999", "*:9999", "10.0.0.1:9999", ":::9999"] {
            let (sockets, said) = imported(&format!(" stats socket {at} level admin"));
            assert!(sockets.is_some_and(|sockets| sockets[0].at.is_exposed()), "{at}");
            assert!(said.contains("may give commands as admin, without a password"), "{said}");
        }
    }

    #[test]
    fn rights_of_what_is_no_file_are_a_warning() {
        for (at, warned) in
            [("127.0.0.1:9999", true), ("abns@x", true), ("fd@7", true), ("/run/a.sock", false)]
        {
            let (sockets, said) = imported(&format!(" stats socket {at} mode 600 gid 0"));
            assert!(sockets.is_some(), "{said}");
            assert_eq!(said.contains(&format!("'mode', 'group' has no effect on {at}")), warned, "{said}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, wanted) in [
            ("x.sock", "is no place where commands"),
            ("unix@x.sock", "is no absolute path"),
            ("/x level root", "'level' only supports"),
            ("/x mode 9", "'mode' expects octal"),
            ("/x uid root", "'uid' expects a number (got 'root')"),
            ("/x levle user", "did you mean"),
            ("/x ssl", "'ssl' is not supported for commands"),
            ("/x expose-fd x", "'expose-fd' only supports 'listeners'"),
        ] {
            let (sockets, said) = imported(&format!(" stats socket {line}"));
            assert!(sockets.is_none() && said.contains(wanted), "{line}: {said}");
        }
    }
}
