//! `stats …` of proxies: HAProxy's statistics where clients come in.

use std::time::Duration;

use super::{
    lexer,
    nearest::did_you_mean,
    section::Directive,
    settings::Reading,
    time,
    toml::{self, Piece},
};

/// What is said of the statistics of a proxy. Any line of it turns them on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct StatisticsSettings {
    uri: Option<String>,
    realm: Option<String>,
    auth: Vec<String>,
    refresh: Option<Duration>,
    hides_version: bool,
    scope: Vec<String>,
    /// Conditions.
    admin: Vec<String>,
    /// The first line.
    directive: Option<Directive>,
}

impl StatisticsSettings {
    /// They stay where they stand.
    pub(super) fn forget_comments(&mut self) {
        if let Some(directive) = &mut self.directive {
            directive.comments.clear();
        }
    }

    /// As a key of a frontend or a backend; `None`: they are off.
    pub(super) fn piece(&self) -> Option<Piece> {
        let directive = self.directive.as_ref()?;
        let mut keys = Vec::new();
        for (key, value) in [("uri", &self.uri), ("realm", &self.realm)] {
            keys.extend(value.as_ref().map(|value| (key, toml::text(value))));
        }
        for (key, values) in [("auth", &self.auth), ("scope", &self.scope), ("admin", &self.admin)] {
            if !values.is_empty() {
                keys.push((key, toml::texts(values)));
            }
        }
        keys.extend(self.refresh.map(|refresh| ("refresh", time::written(refresh))));
        if self.hides_version {
            keys.push(("hide_version", "true".to_owned()));
        }
        let uri = self.uri.clone().unwrap_or_else(|| "/haproxy?stats".to_owned());
        if self.uri.is_none() {
            keys.insert(0, ("uri", toml::text(&uri)));
        }
        Some(Piece::of(toml::table(&keys), directive, 2))
    }
}

/// The words behind `stats`.
const WORDS: [&str; 12] = [
    "enable",
    "uri",
    "auth",
    "realm",
    "refresh",
    "hide-version",
    "scope",
    "admin",
    "show-legends",
    "show-node",
    "show-desc",
    "show-modules",
];

/// `stats enable`, `stats uri URI` and their like.
pub(super) fn stats(reading: &mut Reading<'_>, directive: &Directive) {
    let words: Vec<&str> = reading.arguments(directive).iter().map(String::as_str).collect();
    let mut read = reading.settings.statistics.clone();
    match words.as_slice() {
        ["enable"] => {}
        ["hide-version"] => read.hides_version = true,
        ["uri", uri] if uri.starts_with('/') => read.uri = Some((*uri).to_owned()),
        ["auth", account] if account.contains(':') => read.auth.push((*account).to_owned()),
        ["realm", realm] => read.realm = Some((*realm).to_owned()),
        ["scope", proxy] => read.scope.push((*proxy).to_owned()),
        ["refresh", text] => {
            let Some(found) = time::read(text, Duration::from_secs(1)) else {
                let text = format!("'stats refresh' expects a time such as 5s, but '{text}' follows.");
                return reading.alert(&directive.place, text);
            };
            read.refresh = Some(found).filter(|found| !found.is_zero());
        }
        ["admin", "if" | "unless", _, ..] => {
            read.admin.push(lexer::joined(&reading.arguments(directive)[1..]));
        }
        ["admin", ..] => {
            let text = "'stats admin' expects 'if' or 'unless' and a condition, such as 'if LOCALHOST'.";
            return reading.alert(&directive.place, text);
        }
        [word @ ("show-legends" | "show-node" | "show-desc" | "show-modules"), ..] => {
            reading
                .messages
                .warn(&directive.place, format!("'stats {word}' is ignored: the page is the same for all."));
        }
        ["http-request", ..] => {
            let text = "'stats http-request' is not supported: write `stats auth`, or `http-request deny` in the frontend.";
            return reading.alert(&directive.place, text);
        }
        [word @ ("uri" | "auth" | "realm" | "scope" | "refresh"), ..] => {
            let text = format!(
                "'stats {word}' expects an argument: a path, 'user:password', a text, a proxy's name or a time."
            );
            return reading.alert(&directive.place, text);
        }
        [word, ..] => {
            let text = format!("unknown stats parameter '{word}'{}", did_you_mean(word, WORDS));
            return reading.alert(&directive.place, text);
        }
        [] => return reading.alert(&directive.place, "'stats' expects a word such as 'enable' or 'uri'."),
    }
    read.directive.get_or_insert_with(|| directive.clone());
    reading.settings.statistics = read;
}
