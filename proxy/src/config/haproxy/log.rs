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
    pub(super) fn piece(&self, lines: &LogLines, global: &Global, tag: Option<&Piece>) -> Piece {
        let format = match lines {
            LogLines::Http => toml::text("http"),
            LogLines::Clf => toml::text("clf"),
            LogLines::Tcp => toml::text("tcp"),
            LogLines::Own(format) => format.value.clone(),
        };
        let mut keys = vec![("format", format)];
        keys.extend(self.keys.clone());
        if self.keys[0].1.starts_with("\"syslog:") {
            let own = tag.or(global.log_tag.as_ref());
            keys.push(("tag", own.map_or_else(|| "\"haproxy\"".to_owned(), |tag| tag.value.clone())));
            if let Some(name) = &global.hostname {
                keys.push(("hostname", name.clone()));
            }
        }
        let piece = Piece::of(toml::table(&keys), &self.directive, 1);
        match lines {
            // What is wrong with it is wrong there.
            LogLines::Own(format) => Piece { origin: format.origin.clone(), ..piece },
            _ => piece,
        }
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

/// `log-format FORMAT`
pub(super) fn log_format(reading: &mut Reading<'_>, directive: &Directive) {
    if let Some(text) = reading.only(directive, "a format, in quotes") {
        if !text.contains('%') {
            let text =
                format!("'log-format' : '{text}' has no variable: lines without any tell nobody anything.");
            return reading.alert(&directive.place, text);
        }
        reading.settings.log_lines = Some(LogLines::Own(reading.piece(toml::text(text), directive)));
    }
}

/// `unique-id-format FORMAT` and `unique-id-header NAME`
pub(super) fn unique_id(reading: &mut Reading<'_>, directive: &Directive) {
    let is_header = directive.words[0] == "unique-id-header";
    if let Some(text) =
        reading.only(directive, if is_header { "a header's name" } else { "a format, in quotes" })
    {
        reading.settings.unique_id[usize::from(is_header)] = Some(reading.piece(toml::text(text), directive));
    }
}

/// `declare capture {request | response} len N`
pub(super) fn declare(reading: &mut Reading<'_>, directive: &Directive) {
    let arguments: Vec<&str> = reading.arguments(directive).iter().map(String::as_str).collect();
    let [side @ ("request" | "response"), "len", length] = arguments.as_slice() else {
        let text = "'declare capture' expects 'request' or 'response', 'len' and a length.";
        return reading.alert(&directive.place, text);
    };
    match place(length) {
        Ok(value) => {
            let piece = reading.piece(value, directive);
            let settings = &mut *reading.settings;
            let list = if *side == "request" {
                &mut settings.captured_request
            } else {
                &mut settings.captured_response
            };
            list.push(piece);
        }
        Err(why) => reading.alert(&directive.place, format!("'declare capture' : {why}")),
    }
}

/// A place for a rule to put something at, as TOML has it.
fn place(length: &str) -> Result<String, String> {
    match length.parse::<u16>() {
        Ok(length) if length > 0 => Ok(toml::table(&[("length", length.to_string())])),
        _ => Err(format!("'len' expects a number of bytes, but '{length}' follows.")),
    }
}

/// `http-request capture SAMPLE len N`: a place is declared for it, whose number the rule has from there on.
pub(super) fn capture_rule(reading: &mut Reading<'_>, directive: &Directive, words: &mut [String]) {
    let Some(at) = words.iter().position(|word| word == "len") else { return };
    if words.first().map(String::as_str) != Some("capture") || at != 2 {
        return;
    }
    if reading.kind == Kind::Backend || reading.kind == Kind::Defaults {
        let text = format!(
            "'http-request capture' : 'len' declares a place, which only frontends have: declare it there, by `declare capture`, and write 'id' in a {}.",
            reading.kind.word()
        );
        return reading.alert(&directive.place, text);
    }
    match place(words.get(3).map_or("", String::as_str)) {
        Ok(value) => {
            let number = reading.settings.captured_request.len();
            let piece = Piece { comments: Vec::new(), ..reading.piece(value, directive) };
            reading.settings.captured_request.push(piece);
            (words[2], words[3]) = ("id".to_owned(), number.to_string());
        }
        Err(why) => reading.alert(&directive.place, format!("'http-request capture' : {why}")),
    }
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
