//! `log` and `capture`: what is written of requests, and where.

use super::{
    global::Global,
    section::Directive,
    settings::{Kind, LogLines, LogTo, Reading},
    toml::{self, Piece},
};

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// A log of HAProxy's, but for the format of its lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// The keys of its table, without `format` and `tag`.
    keys: Vec<(&'static str, String)>,
    pub(super) directive: Directive,
}

impl Target {
    /// `ADDRESS [len N] [format F] FACILITY [LEVEL [MINLEVEL]]`
    fn read(directive: &Directive, words: &[String]) -> Result<Self, String> {
        let (address, mut rest) = words.split_first().ok_or(EXPECTED)?;
        let mut keys = Vec::new();
        let mut header = None;
        while let [word, argument, behind @ ..] = rest {
            match word.as_str() {
                "len" => keys.push(("length", argument.clone())),
                "format" => header = Some(argument.as_str()),
                "sample" => return Err("'sample' is not supported: every line is sent".into()),
                _ => break,
            }
            rest = behind;
        }
        let (target, is_syslog) = match address.as_str() {
            stream @ ("stdout" | "stderr") => (stream.to_owned(), false),
            path if path.starts_with('/') => (format!("syslog://{path}"), true),
            text => match text.split_once('@') {
                None => (format!("syslog://{text}"), true),
                Some(("udp" | "ipv4" | "ipv6" | "udp4" | "udp6", host)) => (format!("syslog://{host}"), true),
                Some(("unix", path)) => (format!("syslog://{path}"), true),
                Some(("fd", "1")) => ("stdout".to_owned(), false),
                Some(("fd", "2")) => ("stderr".to_owned(), false),
                Some((kind, _)) => {
                    return Err(format!(
                        "'{kind}@' is not supported: log to a syslog by UDP or a socket, or to stdout"
                    ));
                }
            },
        };
        keys.insert(0, ("target", toml::text(&target)));
        match header {
            None | Some("rfc3164" | "local") if is_syslog => {}
            Some("rfc5424") if is_syslog => keys.push(("header", toml::text("rfc5424"))),
            None | Some("raw") if !is_syslog => {}
            Some(other) => {
                return Err(format!(
                    "'format {other}' is not supported here: expected rfc3164 or rfc5424 for a syslog, raw for a stream"
                ));
            }
            None => {}
        }
        let (facility, levels) = rest.split_first().ok_or(EXPECTED)?;
        if is_syslog {
            keys.push(("facility", toml::text(facility)));
        }
        if levels.len() > 2 {
            return Err(EXPECTED.into());
        }
        for (key, level) in ["level", "min_level"].into_iter().zip(levels) {
            if !LEVELS.contains(&level.as_str()) {
                return Err(format!("'{level}' is no level: expected one of {}", LEVELS.join(", ")));
            }
            if is_syslog {
                keys.push((key, toml::text(level)));
            }
        }
        Ok(Self { keys, directive: directive.clone() })
    }

    /// Its table, for lines of this form.
    pub(super) fn piece(&self, lines: LogLines, global: &Global, tag: Option<&Piece>) -> Piece {
        let format = match lines {
            LogLines::Http => "http",
            LogLines::Clf => "clf",
            LogLines::Tcp => "tcp",
        };
        let mut keys = vec![("format", toml::text(format))];
        keys.extend(self.keys.clone());
        if self.keys[0].1.starts_with("\"syslog:") {
            let own = tag.or(global.log_tag.as_ref());
            keys.push(("tag", own.map_or_else(|| "\"haproxy\"".to_owned(), |tag| tag.value.clone())));
            if let Some(name) = &global.hostname {
                keys.push(("hostname", name.clone()));
            }
        }
        Piece::of(toml::table(&keys), &self.directive, 1)
    }
}

const EXPECTED: &str =
    "'log' expects <address> [len <length>] [format <format>] <facility> [<level> [<minlevel>]]";

/// `log …` and `no log` of a proxy.
pub(super) fn log(reading: &mut Reading<'_>, directive: &Directive) {
    if reading.negated {
        reading.settings.logs.clear();
        return;
    }
    if reading.kind == Kind::Backend {
        let text = "'log' has no effect in a backend: what becomes of its servers is told to the logs of its frontends.";
        reading.messages.warn(&directive.place, text);
    }
    match reading.arguments(directive) {
        [only] if only == "global" => reading.settings.logs.push(LogTo::Global(directive.clone())),
        words => match Target::read(directive, words) {
            Ok(target) => reading.settings.logs.push(LogTo::This(target)),
            Err(why) => reading.alert(&directive.place, why),
        },
    }
}

/// `log …` of the global section.
pub(super) fn global_log(reading: &mut Reading<'_>, directive: &Directive) {
    match Target::read(directive, reading.arguments(directive)) {
        Ok(target) => reading.global.logs.push(target),
        Err(why) => reading.alert(&directive.place, why),
    }
}

/// `option httplog [clf]`
pub(super) fn httplog(reading: &mut Reading<'_>, directive: &Directive) {
    reading.settings.log_lines = match reading.arguments(directive) {
        _ if reading.negated => None,
        [] => Some(LogLines::Http),
        [only] if only == "clf" => Some(LogLines::Clf),
        _ => return reading.alert(&directive.place, "'option httplog' only supports the keyword 'clf'."),
    };
}

/// `option tcplog`
pub(super) fn tcplog(reading: &mut Reading<'_>, _: &Directive) {
    reading.settings.log_lines = (!reading.negated).then_some(LogLines::Tcp);
}

/// `capture request header NAME len N` and its like.
pub(super) fn capture(reading: &mut Reading<'_>, directive: &Directive) {
    let name_of = reading.name_of(directive);
    let [name, len, length] = reading.arguments(directive) else {
        return reading.alert(&directive.place, format!("'{name_of}' expects <name> 'len' <length>."));
    };
    if len != "len" || !length.bytes().all(|byte| byte.is_ascii_digit()) || length.is_empty() {
        return reading.alert(&directive.place, format!("'{name_of}' expects <name> 'len' <length>."));
    }
    let value = toml::table(&[("name", toml::text(name)), ("length", length.clone())]);
    let piece = reading.piece(value, directive);
    match name_of.as_str() {
        "capture request header" => reading.settings.captured_request.push(piece),
        "capture response header" => reading.settings.captured_response.push(piece),
        _ => reading.settings.set(super::settings::Side::Front, "capture_cookie", piece),
    }
}
