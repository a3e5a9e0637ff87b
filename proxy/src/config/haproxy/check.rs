//! How servers are checked: `option httpchk`, `http-check`, `option tcp-check`.

use super::{
    lexer,
    section::Directive,
    settings::Reading,
    toml::{self, Piece, Table},
};

/// How servers are checked, as far as it is said.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct CheckSettings {
    /// `option httpchk`; without it a connection is all that is wanted.
    http: Option<Piece>,
    /// What it asks.
    asked: Request,
    /// `http-check send`, which counts where it says more.
    sent: Option<Request>,
    expect: Vec<Piece>,
    /// What was asked, sent and expected comes from `defaults`: the first rule of a section's own puts all of it away.
    are_inherited: bool,
    soft_drain: Option<Piece>,
    send_state: Option<Piece>,
}

/// What is asked, as far as it is said.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Request {
    method: Option<Piece>,
    uri: Option<Piece>,
    version: Option<Piece>,
    host: Option<Piece>,
    headers: Vec<Piece>,
    body: Option<Piece>,
}

impl CheckSettings {
    /// As a section finds them that inherits them.
    pub(super) fn inherit(&mut self) {
        self.are_inherited = true;
    }

    /// What is said and has no effect where servers are asked nothing.
    pub(super) fn unused(&self) -> impl Iterator<Item = &Piece> {
        let sent = self
            .sent
            .iter()
            .flat_map(|sent| [&sent.method, &sent.uri, &sent.version, &sent.host, &sent.body]);
        let pieces = sent.chain([&self.soft_drain, &self.send_state]).flatten().chain(&self.expect);
        let pieces = pieces.chain(self.sent.iter().flat_map(|sent| &sent.headers));
        pieces.filter(|_| self.http.is_none())
    }

    /// A section's own rules take the place of all that it inherits.
    fn own(&mut self) -> &mut Self {
        if std::mem::take(&mut self.are_inherited) {
            (self.sent, self.expect, self.asked) = (None, Vec::new(), Request::default());
        }
        self
    }

    /// The keys of a backend, of which some server is checked.
    pub(super) fn write(&self, table: &mut Table) {
        let Some(http) = &self.http else {
            return table.one("check.type", Piece::default("\"tcp\""));
        };
        let sent = self.sent.as_ref();
        let piece = |of: fn(&Request) -> &Option<Piece>| {
            sent.and_then(|sent| of(sent).clone()).or_else(|| of(&self.asked).clone())
        };
        let method = piece(|of| &of.method);
        table.one(
            "check.method",
            method.unwrap_or_else(|| Piece { value: "\"OPTIONS\"".into(), ..http.clone() }),
        );
        for (key, piece) in [
            ("check.uri", piece(|of| &of.uri)),
            ("check.version", piece(|of| &of.version)),
            ("check.host", piece(|of| &of.host)),
        ] {
            if let Some(piece) = piece {
                table.one(key, piece);
            }
        }
        if let Some(sent) = sent {
            table.list("check.headers", sent.headers.clone());
            if let Some(piece) = &sent.body {
                table.one("check.body", piece.clone());
            }
        }
        match self.expect.as_slice() {
            [only] => table.one("check.expect", only.clone()),
            several => table.list("check.expect", several.to_vec()),
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
    // It takes the place of all rules that are inherited.
    reading.settings.check.own();
    reading.settings.check.http = Some(reading.piece("", directive));
    let asked = Request {
        method: method.map(|text| quoted(reading, text)),
        uri: uri.map(|text| quoted(reading, text)),
        ..Request::default()
    };
    reading.settings.check.asked = asked;
    if let Some(version) = version {
        // Headers were written into the version once.
        let mut lines = version.split("\r\n");
        let first = lines.next().unwrap_or_default();
        reading.settings.check.asked.version = Some(Piece::of(toml::text(first), directive, reading.words));
        for line in lines.filter(|line| !line.is_empty()) {
            let host =
                header(reading, directive, line.split_once(':').map(|(name, value)| (name, value.trim())));
            reading.settings.check.asked.host = host.or(reading.settings.check.asked.host.take());
        }
    }
}

/// A header that was written into the version; `http-check send` takes others.
fn header(reading: &mut Reading<'_>, directive: &Directive, header: Option<(&str, &str)>) -> Option<Piece> {
    match header {
        Some((name, value)) if name.eq_ignore_ascii_case("host") => {
            return Some(Piece::of(toml::text(value), directive, 2));
        }
        // It is sent anyway where the connection closes.
        Some((name, value)) if name.eq_ignore_ascii_case("connection") && value == "close" => {}
        // A rule of its own counts, and this one is sent no more.
        _ if reading.settings.check.sent.is_some() => {}
        _ => {
            let name = header.map_or("?", |(name, _)| name);
            let text = format!(
                "'option httpchk' : '{name}' in the version is not supported: write `http-check send hdr {name} VALUE`"
            );
            reading.alert(&directive.place, text);
        }
    }
    None
}

/// `http-check disable-on-404`
pub(super) fn disable_on_404(reading: &mut Reading<'_>, directive: &Directive) {
    reading.settings.check.soft_drain = Some(reading.piece("404", directive));
}

/// `http-check send-state`
pub(super) fn send_state(reading: &mut Reading<'_>, directive: &Directive) {
    reading.settings.check.send_state = Some(reading.piece("true", directive));
}

/// `http-check send [meth M] [uri U] [ver V] [hdr NAME VALUE]… [body B] [comment C]`
pub(super) fn send(reading: &mut Reading<'_>, directive: &Directive) {
    if reading.settings.check.own().sent.is_some() {
        let text = "a second 'http-check send' is not supported: a check is one request";
        return reading.alert(&directive.place, text);
    }
    let mut sent = Request::default();
    let mut words = reading.arguments(directive).iter().map(String::as_str);
    while let Some(word) = words.next() {
        let argument = words.next();
        let piece = argument.map(|text| Piece::of(toml::text(text), directive, reading.words));
        match (word, argument) {
            ("meth", Some(_)) => sent.method = piece,
            ("uri", Some(_)) => sent.uri = piece,
            ("ver", Some(_)) => sent.version = piece,
            ("hdr", Some(name)) => {
                let Some(value) = plain(reading, directive, words.next().unwrap_or_default()) else { return };
                let piece = |text: &str| Piece::of(toml::text(text), directive, reading.words);
                match name.to_ascii_lowercase().as_str() {
                    "host" => sent.host = Some(piece(&value)),
                    // It is that of the body.
                    "content-length" | "transfer-encoding" => {}
                    _ => sent.headers.push(piece(&format!("{name}: {value}"))),
                }
            }
            ("body", Some(_)) => sent.body = piece,
            ("comment", Some(_)) => {}
            ("uri-lf" | "body-lf", _) => {
                let text = format!("'http-check send' : '{word}' is not supported: all checks ask the same");
                reading.alert(&directive.place, text);
            }
            (word, _) => {
                let text = format!(
                    "'http-check send' expects 'meth', 'uri', 'ver', 'hdr', 'body' or 'comment', each with an argument (got '{word}')"
                );
                return reading.alert(&directive.place, text);
            }
        }
    }
    reading.settings.check.sent = Some(sent);
}

/// A format without values: with them each check would ask something else.
fn plain(reading: &mut Reading<'_>, directive: &Directive, text: &str) -> Option<String> {
    if text.replace("%%", "").contains('%') {
        let text = format!(
            "'http-check send' : '{text}' has values in it, but all checks ask the same: write a text."
        );
        reading.alert(&directive.place, text);
        return None;
    }
    Some(text.replace("%%", "%"))
}

/// `http-check expect [!] status CODES`, `http-check expect [!] string TEXT` and their like.
pub(super) fn expect(reading: &mut Reading<'_>, directive: &Directive) {
    let mut wish: Vec<String> = Vec::new();
    let mut words = reading.arguments(directive).iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "comment" => drop(words.next()),
            unknown @ ("min-recv" | "on-success" | "on-error" | "ok-status" | "error-status"
            | "status-code" | "tout-status" | "custom" | "string-lf") => {
                let text = format!("'http-check expect' : '{unknown}' is not supported: leave it out.");
                return reading.alert(&directive.place, text);
            }
            "name-lf" | "value-lf" => {
                let text =
                    format!("'http-check expect' : '{word}' is not supported: checks have no variables.");
                return reading.alert(&directive.place, text);
            }
            // What it is compared with may be any word.
            "status" | "rstatus" | "string" | "rstring" | "-m" => {
                wish.push(word.clone());
                wish.extend(words.next().cloned());
            }
            _ => wish.push(word.clone()),
        }
    }
    let text = match wish.as_slice() {
        [word, codes] if word == "status" => codes.clone(),
        [not, word, codes] if not == "!" && word == "status" => format!("! {codes}"),
        wish => lexer::joined(wish),
    };
    let piece = reading.piece(toml::text(&text), directive);
    reading.settings.check.own().expect.push(piece);
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
