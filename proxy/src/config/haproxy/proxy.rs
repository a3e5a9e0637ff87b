//! The directives of proxies, but for those of servers, checks and logs.

use std::time::Duration;

use super::{
    nearest::did_you_mean,
    section::Directive,
    settings::{Mode, Reading, Side},
    time,
    toml::{self, Origin},
};

/// `mode http`
pub(super) fn mode(reading: &mut Reading<'_>, directive: &Directive) {
    match reading.arguments(directive) {
        [only] if only == "http" => reading.settings.mode = Mode::Http,
        [only] if only == "tcp" => reading.settings.mode = Mode::Tcp,
        [other, ..] => {
            let text = format!("unknown proxy mode '{other}': expected `mode http`.");
            reading.alert(&directive.place, text);
        }
        [] => reading.alert(&directive.place, "'mode' expects 'http'."),
    }
}

/// `maxconn N` of a frontend.
pub(super) fn maxconn(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a number") else { return };
    match text.parse::<u64>() {
        Ok(0) => reading.settings.unset(Side::Front, "maxconn"),
        Ok(number) => {
            let piece = reading.piece(number.to_string(), directive);
            reading.settings.set(Side::Front, "maxconn", piece);
        }
        Err(_) => {
            reading.alert(&directive.place, format!("'maxconn' expects a number, but '{text}' follows."));
        }
    }
}

/// A time of one side, for the key that the table of directives has.
pub(super) fn time(reading: &mut Reading<'_>, directive: &Directive, side: Side, key: &'static str) {
    let Some(text) = reading.only(directive, "a time such as 500ms, 30s or 5m") else { return };
    match time::read(text, Duration::from_millis(1)) {
        // As if it had not been said: the client is waited for without an end, but for a slot as long as for a
        // connection.
        Some(found) if found.is_zero() => reading.settings.unset(side, key),
        Some(found) if found <= time::LONGEST => {
            let piece = reading.piece(time::written(found), directive);
            reading.settings.set(side, key, piece);
        }
        Some(_) => {
            let text = format!(
                "timer overflow in argument '{text}' to '{}' (maximum value is 2147483647 ms or ~24.8 days)",
                reading.name_of(directive)
            );
            reading.alert(&directive.place, text);
        }
        None => {
            let text = format!(
                "'{}' expects a time such as 500ms, 30s or 5m, but '{text}' follows.",
                reading.name_of(directive)
            );
            reading.alert(&directive.place, text);
        }
    }
}

/// A number of one side.
pub(super) fn number(reading: &mut Reading<'_>, directive: &Directive, side: Side, key: &'static str) {
    let Some(text) = reading.only(directive, "a number") else { return };
    if text.parse::<u32>().is_ok() {
        let piece = reading.piece(text, directive);
        reading.settings.set(side, key, piece);
    } else {
        let text = format!("'{}' expects a number, but '{text}' follows.", reading.name_of(directive));
        reading.alert(&directive.place, text);
    }
}

/// All words behind the name, as one string.
pub(super) fn words(reading: &mut Reading<'_>, directive: &Directive, side: Side, key: &'static str) {
    let words = reading.arguments(directive);
    if words.is_empty() {
        let text = format!("'{}' expects an argument.", reading.name_of(directive));
        return reading.alert(&directive.place, text);
    }
    let piece = reading.piece(toml::text(&words.join(" ")), directive);
    reading.settings.set(side, key, piece);
}

/// `balance ALGORITHM ARGUMENT…`
pub(super) fn balance(reading: &mut Reading<'_>, directive: &Directive) {
    words(reading, directive, Side::Back, "balance");
}

/// `hash-type METHOD [FUNCTION [MODIFIER]]`
pub(super) fn hash_type(reading: &mut Reading<'_>, directive: &Directive) {
    let Some((method, function)) = reading.arguments(directive).split_first() else {
        return reading.alert(&directive.place, "'hash-type' expects 'consistent' or 'map-based'.");
    };
    if !matches!(function, [] | [_] if function.iter().all(|function| function == "sdbm")) {
        let text = format!(
            "'hash-type' : '{}' is ignored: users go to other servers than with HAProxy's function",
            function.join(" ")
        );
        reading.messages.warn(&directive.place, text);
    } else if method == "consistent" {
        let text = "'hash-type consistent' : servers have other places on the ring here, so that users go to other servers than with HAProxy";
        reading.messages.warn(&directive.place, text);
    }
    let piece = reading.piece(toml::text(method), directive);
    reading.settings.set(Side::Back, "hash_type", piece);
}

/// The words of `cookie` behind its name.
const COOKIE: [&str; 14] = [
    "insert", "rewrite", "prefix", "indirect", "nocache", "postonly", "preserve", "httponly", "secure",
    "domain", "maxidle", "maxlife", "dynamic", "attr",
];

/// `cookie NAME KEYWORD…`
pub(super) fn cookie(reading: &mut Reading<'_>, directive: &Directive) {
    let Some((name, words)) = reading.arguments(directive).split_first() else {
        return reading.alert(&directive.place, "'cookie' expects <cookie_name> as argument.");
    };
    let mut mode = "passive";
    let mut flags: Vec<(&str, String)> = Vec::new();
    let (mut domains, mut attributes) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "insert" | "rewrite" | "prefix" if mode != "passive" && mode != word => {
                let text = format!("cookie '{mode}' and '{word}' are mutually exclusive.");
                return reading.alert(&directive.place, text);
            }
            "insert" | "rewrite" | "prefix" => mode = word,
            "indirect" | "nocache" | "postonly" | "preserve" | "httponly" | "secure" | "dynamic" => {
                flags.push((word, "true".to_owned()));
            }
            "domain" => domains.extend(words.next()),
            "attr" => attributes.extend(words.next()),
            "maxidle" | "maxlife" => {
                let found = words.next().and_then(|text| time::read(text, Duration::from_secs(1)));
                let Some(found) = found.filter(|found| !found.is_zero()) else {
                    let text = format!("'cookie' : '{word}' expects a time in seconds, such as 30m");
                    return reading.alert(&directive.place, text);
                };
                flags.push((word, time::written(found)));
            }
            unknown => {
                let near = did_you_mean(unknown, COOKIE);
                return reading
                    .alert(&directive.place, format!("'cookie' : unknown keyword '{unknown}'{near}"));
            }
        }
    }
    let mut keys = vec![("name", toml::text(name)), ("mode", toml::text(mode))];
    if !flags.iter().any(|(flag, _)| *flag == "indirect") {
        keys.push(("indirect", "false".to_owned()));
    }
    flags.sort();
    flags.dedup_by(|a, b| a.0 == b.0);
    keys.extend(flags);
    if !domains.is_empty() {
        keys.push(("domain", toml::texts(domains)));
    }
    if !attributes.is_empty() {
        keys.push(("attr", toml::texts(attributes)));
    }
    let piece = reading.piece(toml::table(&keys), directive);
    reading.settings.set(Side::Back, "cookie", piece);
}

/// `option redispatch [N]`
pub(super) fn redispatch(reading: &mut Reading<'_>, directive: &Directive) {
    let value = match reading.arguments(directive) {
        _ if reading.negated => "false".to_owned(),
        [] => "true".to_owned(),
        [only] if only.parse::<i32>().is_ok() => only.clone(),
        _ => {
            let text = "'option redispatch' expects a number, such as 1 or -1, or nothing.";
            return reading.alert(&directive.place, text);
        }
    };
    let piece = reading.piece(value, directive);
    reading.settings.set(Side::Back, "redispatch", piece);
}

/// `retry-on WORD…`
pub(super) fn retry_on(reading: &mut Reading<'_>, directive: &Directive) {
    // No request is sent as early data of TLS, so none of them is rejected.
    let words = reading.arguments(directive).iter().map(String::as_str);
    let words: Vec<&str> = words.filter(|word| *word != "0rtt-rejected").collect();
    let value = if words.is_empty() { toml::texts(["conn-failure"]) } else { toml::texts(words) };
    let piece = reading.piece(value, directive);
    reading.settings.set(Side::Back, "retry_on", piece);
}

/// `option forwardfor [except NET] [header NAME] [if-none]`
pub(super) fn forwardfor(reading: &mut Reading<'_>, directive: &Directive) {
    address_field(reading, directive, "forward_for", "X-Forwarded-For");
}

/// `option originalto [except NET] [header NAME] [if-none]`
pub(super) fn originalto(reading: &mut Reading<'_>, directive: &Directive) {
    address_field(reading, directive, "original_to", "X-Original-To");
}

/// Either half of a proxy may ask for it.
fn address_field(reading: &mut Reading<'_>, directive: &Directive, key: &'static str, standard: &str) {
    let sides: Vec<_> =
        [Side::Front, Side::Back].into_iter().filter(|side| reading.kind.has(*side)).collect();
    if reading.negated {
        return sides.into_iter().for_each(|side| reading.settings.unset(side, key));
    }
    let (mut header, mut except, mut if_none) = (standard, None, false);
    let mut words = reading.arguments(directive).iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first()) {
            ("if-none", _) => if_none = true,
            ("except", Some(network)) => {
                except = Some(network);
                words.next();
            }
            ("header", Some(name)) => {
                header = name;
                words.next();
            }
            _ => {
                let text = format!(
                    "'{}' only supports 'if-none', 'except' and 'header', the latter with an argument (got '{word}').",
                    reading.name_of(directive)
                );
                return reading.alert(&directive.place, text);
            }
        }
    }
    let mut keys = vec![("header", toml::text(&header.to_ascii_lowercase()))];
    keys.extend(except.map(|network| ("except", toml::texts([network]))));
    if if_none {
        keys.push(("if_none", "true".to_owned()));
    }
    for side in sides {
        let piece = reading.piece(toml::table(&keys), directive);
        reading.settings.set(side, key, piece);
    }
}

/// `option NAME` that sets a flag of one side.
pub(super) fn flag(reading: &mut Reading<'_>, directive: &Directive, side: Side, key: &'static str) {
    if let [word, ..] = reading.arguments(directive) {
        let text = format!("'{}' expects no argument, but '{word}' follows.", reading.name_of(directive));
        return reading.alert(&directive.place, text);
    }
    let piece = reading.piece((!reading.negated).to_string(), directive);
    reading.settings.set(side, key, piece);
}

/// `default_backend NAME`
pub(super) fn default_backend(reading: &mut Reading<'_>, directive: &Directive) {
    if let Some(name) = reading.only(directive, "a backend's name") {
        reading.settings.default_backend = Some((name.to_owned(), Origin::of(directive, 1)));
    }
}

/// `disabled`, `enabled`
pub(super) fn disabled(reading: &mut Reading<'_>, directive: &Directive) {
    reading.settings.disabled = directive.words[0] == "disabled";
}
