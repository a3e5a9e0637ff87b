//! How servers are checked: `option httpchk`, `http-check`, `option tcp-check`.

use super::{
    section::Directive,
    settings::Reading,
    toml::{self, Piece, Table},
};

/// How servers are checked, as far as it is said.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct CheckSettings {
    /// `option httpchk`; without it a connection is all that is wanted.
    pub(super) http: Option<Piece>,
    method: Option<Piece>,
    uri: Option<Piece>,
    version: Option<Piece>,
    host: Option<Piece>,
    soft_drain: Option<Piece>,
    send_state: Option<Piece>,
    expect: Option<Piece>,
}

impl CheckSettings {
    /// The keys of a backend, of which some server is checked.
    pub(super) fn write(&self, table: &mut Table) {
        let Some(http) = &self.http else {
            return table.one("check.type", Piece::default("\"tcp\""));
        };
        let method =
            self.method.clone().unwrap_or_else(|| Piece { value: "\"OPTIONS\"".into(), ..http.clone() });
        table.one("check.method", method);
        let others = [("check.uri", &self.uri), ("check.version", &self.version), ("check.host", &self.host)];
        for (key, piece) in others {
            if let Some(piece) = piece {
                table.one(key, piece.clone());
            }
        }
        if let Some(piece) = &self.expect {
            table.one("check.expect", piece.clone());
        }
        table.one("check.soft_drain_on", self.soft_drain.clone().unwrap_or_else(|| Piece::default("false")));
        table.one("check.send_state", self.send_state.clone().unwrap_or_else(|| Piece::default("false")));
    }
}

/// `option httpchk [[METHOD] URI [VERSION]]`
pub(super) fn httpchk(reading: &mut Reading<'_>, directive: &Directive) {
    if reading.negated {
        reading.settings.check.http = None;
        return;
    }
    let (method, uri, version) = match reading.arguments(directive) {
        [] => (None, None, None),
        [uri] => (None, Some(uri), None),
        [method, uri] => (Some(method), Some(uri), None),
        [method, uri, version] => (Some(method), Some(uri), Some(version)),
        _ => {
            let text = "'option httpchk' expects '[<method>] <uri> [<version>]': write the host with `http-check send hdr Host <name>`";
            return reading.alert(&directive.place, text);
        }
    };
    let quoted = |reading: &Reading<'_>, text: &String| Piece {
        comments: Vec::new(),
        ..reading.piece(toml::text(text), directive)
    };
    reading.settings.check.http = Some(reading.piece("", directive));
    reading.settings.check.method = method.map(|text| quoted(reading, text));
    reading.settings.check.uri = uri.map(|text| quoted(reading, text));
    reading.settings.check.version = None;
    if let Some(version) = version {
        // Headers were written into the version once.
        let mut lines = version.split("\r\n");
        let first = lines.next().unwrap_or_default();
        reading.settings.check.version = Some(Piece::of(toml::text(first), directive, reading.words));
        for line in lines.filter(|line| !line.is_empty()) {
            header(reading, directive, line.split_once(':').map(|(name, value)| (name, value.trim())));
        }
    }
}

/// A header of a check, of which only `Host` is known here.
fn header(reading: &mut Reading<'_>, directive: &Directive, header: Option<(&str, &str)>) {
    match header {
        Some((name, value)) if name.eq_ignore_ascii_case("host") => {
            reading.settings.check.host = Some(Piece::of(toml::text(value), directive, 2));
        }
        // It is sent anyway where the connection closes.
        Some((name, value)) if name.eq_ignore_ascii_case("connection") && value == "close" => {}
        _ => {
            let name = header.map_or("?", |(name, _)| name);
            let text =
                format!("checks send no header but 'Host' here, and '{name}' is asked for: leave it out");
            reading.alert(&directive.place, text);
        }
    }
}

/// `http-check disable-on-404`
pub(super) fn disable_on_404(reading: &mut Reading<'_>, directive: &Directive) {
    reading.settings.check.soft_drain = Some(reading.piece("404", directive));
}

/// `http-check send-state`
pub(super) fn send_state(reading: &mut Reading<'_>, directive: &Directive) {
    reading.settings.check.send_state = Some(reading.piece("true", directive));
}

/// `http-check send [meth M] [uri U] [ver V] [hdr NAME VALUE]… [body B]`
pub(super) fn send(reading: &mut Reading<'_>, directive: &Directive) {
    let words = reading.arguments(directive).to_vec();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let argument = words.next();
        let piece = argument.map(|text| Piece::of(toml::text(text), directive, reading.words));
        let check = &mut reading.settings.check;
        match (word, argument) {
            ("meth", Some(_)) => check.method = piece,
            ("uri", Some(_)) => check.uri = piece,
            ("ver", Some(_)) => check.version = piece,
            ("hdr", Some(name)) => header(reading, directive, Some((name, words.next().unwrap_or_default()))),
            ("body" | "uri-lf" | "body-lf" | "comment", _) => {
                let text = format!("'http-check send' : '{word}' is not supported: leave it out");
                reading.alert(&directive.place, text);
            }
            (word, _) => {
                let text = format!(
                    "'http-check send' expects 'meth', 'uri', 'ver' or 'hdr', each with an argument (got '{word}')"
                );
                return reading.alert(&directive.place, text);
            }
        }
    }
}

/// `http-check expect [!] status CODES`, `http-check expect [!] string TEXT` and their like.
pub(super) fn expect(reading: &mut Reading<'_>, directive: &Directive) {
    let words: Vec<&str> = reading.arguments(directive).iter().map(String::as_str).collect();
    let codes = match words.as_slice() {
        ["status", codes] => (*codes).to_owned(),
        ["!", "status", codes] => format!("! {codes}"),
        _ => {
            let text = "'http-check expect' is only supported with 'status' and '! status': what stands in the body is not looked at";
            return reading.alert(&directive.place, text);
        }
    };
    reading.settings.check.expect = Some(reading.piece(toml::text(&codes), directive));
}

/// `option tcp-check`
pub(super) fn tcp_check(reading: &mut Reading<'_>, _: &Directive) {
    reading.settings.check.http = None;
}

/// `tcp-check connect` without anything else is what is done anyway.
pub(super) fn tcp_check_rule(reading: &mut Reading<'_>, directive: &Directive) {
    match reading.arguments(directive) {
        [only] if only == "connect" => {}
        _ => {
            let text = "'tcp-check' rules are not supported but `tcp-check connect`: let the server answer HTTP, and use `option httpchk`";
            reading.alert(&directive.place, text);
        }
    }
}
