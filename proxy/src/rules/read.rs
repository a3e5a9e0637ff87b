//! Rules as the configuration has them.

use drain_config::{Mistake, Table, Value};

use super::{
    Cookies, Rule, Rules, Scope,
    action::{Action, Side},
    answer::{ERRORS, ErrorFile, ErrorPage, Reply},
    condition::{Condition, Lists, split},
    returned::Return,
    sample::Sample,
    statistics::Statistics,
    unique::UniqueId,
};
use crate::config::haproxy::words;

/// Rules of a list at most: each is looked at for every request.
const MOST_RULES: usize = 10_000;

const PERSISTENCE: &str =
    "expected 'force' or 'ignore', and for which requests, such as 'force if { src 10.0.0.0/8 }'";

impl Rules {
    /// The keys of a frontend.
    pub(crate) fn of_frontend(table: &Table<'_>, scope: Scope<'_>) -> Self {
        let lists = lists(table);
        let mut rules = Self::of_both(table, &lists, scope);
        let asked = |words: &[String]| {
            let condition = Condition::read(words, &lists)?;
            check(condition.samples(), Side::Request, scope)?;
            Ok(condition)
        };
        rules.use_backend = each(table, "use_backend", |words| {
            let (name, condition) = words.split_first().ok_or("expected a backend's name")?;
            let place = scope.names.position(name);
            let place = place.ok_or_else(|| format!("there is no backend '{name}'"))?;
            Ok((place, asked(condition)?))
        });
        rules.monitor_uri = table.take("monitor_uri").and_then(|value| value.string()).map(Into::into);
        rules.monitor_fail = each(table, "monitor_fail", asked);
        rules.unique_id = table
            .take("unique_id")
            .and_then(|value| value.section(|table| UniqueId::read(table, scope)))
            .flatten();
        rules
    }

    /// The keys of a backend.
    pub(crate) fn of_backend(table: &Table<'_>, scope: Scope<'_>) -> Self {
        let lists = lists(table);
        let persistence = each(table, "persistence", |words| {
            let (cookies, condition) = words.split_first().ok_or(PERSISTENCE)?;
            let cookies = match cookies.as_str() {
                "force" => Cookies::Forced,
                "ignore" => Cookies::Ignored,
                _ => return Err(PERSISTENCE.into()),
            };
            let condition = Condition::read(condition, &lists)?;
            check(condition.samples(), Side::Request, scope)?;
            Ok((cookies, condition))
        });
        Self { persistence, ..Self::of_both(table, &lists, scope) }
    }

    fn of_both(table: &Table<'_>, lists: &Lists, scope: Scope<'_>) -> Self {
        let rule = |side: Side| {
            move |words: &[String]| {
                let (action, condition) = split(words);
                let (action, condition) = (Action::read(side, action)?, Condition::read(condition, lists)?);
                check(action.samples().into_iter().chain(condition.samples()), side, scope)?;
                Ok(Rule { action, condition })
            }
        };
        let asked = |words: &[String]| {
            let condition = Condition::read(words, lists)?;
            check(condition.samples(), Side::Request, scope)?;
            Ok(condition)
        };
        let after = |words: &[String]| {
            let rule: Rule = rule(Side::Response)(words)?;
            match rule.action {
                Action::Withhold => {
                    Err("action 'deny' is not known here: no answer is kept back any more".into())
                }
                Action::Log(_) => {
                    Err("action 'set-log-level' is not known here: write it in http_response".into())
                }
                _ => Ok(rule),
            }
        };
        Self {
            request: each(table, "http_request", rule(Side::Request)),
            response: each(table, "http_response", rule(Side::Response)),
            after_response: each(table, "http_after_response", after),
            statistics: table
                .take("statistics")
                .and_then(|value| {
                    value.section(|table| Statistics::read(table, |table| each(table, "admin", asked)))
                })
                .map(Into::into),
            error_pages: error_pages(table, scope),
            ..Self::default()
        }
    }
}

/// What can't be looked at by rules of this side.
fn check<'s>(samples: impl Iterator<Item = &'s Sample>, side: Side, scope: Scope<'_>) -> Result<(), String> {
    samples.into_iter().try_for_each(|sample| sample.check(side, scope))
}

fn lists(table: &Table<'_>) -> Lists {
    let mut lists = Lists::default();
    for item in table.take("acl").map(|value| value.items()).unwrap_or_default() {
        let Some(text) = item.string() else { continue };
        if let Err(why) = words(text).and_then(|words| lists.add(&words)) {
            item.report(Mistake::new(item.place(), format!("this is no access list: {why}"), ""));
        }
    }
    lists
}

/// What each text of an array says.
fn each<T>(table: &Table<'_>, key: &'static str, read: impl Fn(&[String]) -> Result<T, String>) -> Vec<T> {
    let Some(value) = table.take(key) else { return Vec::new() };
    let items = value.items();
    if items.len() > MOST_RULES {
        value.wrong("has too many entries", format!("expected at most {MOST_RULES}"));
        return Vec::new();
    }
    let one = |item: &Value<'_>| {
        let text = item.string()?;
        let found = words(text).and_then(|words| read(&words));
        match found {
            Ok(found) => Some(found),
            Err(why) => {
                item.report(Mistake::new(item.place(), why, ""));
                None
            }
        }
    };
    items.iter().filter_map(one).collect()
}

/// Reads the answer to errors of a status.
type Read<'r> = &'r dyn Fn(u16, &str) -> Result<ErrorPage, String>;

/// `errorfile = { 503 = "/etc/errors/503.http" }`, `errorloc = { 503 = "https://…" }`, `errorloc303` likewise, and
/// `errorpage = { 503 = "content-type text/plain string sorry" }`.
fn error_pages(table: &Table<'_>, scope: Scope<'_>) -> Vec<(u16, ErrorPage)> {
    let file = |status, path: &str| ErrorFile::read(status, path).map(|file| file.reply().clone()).map(fixed);
    let found = |status, place: &str| location(place).map(|()| fixed(Reply::elsewhere(status, 302, place)));
    let other = |status, place: &str| location(place).map(|()| fixed(Reply::elsewhere(status, 303, place)));
    let made = |status, text: &str| {
        let page = Return::page(status, &words(text)?)?;
        check(page.samples(), Side::Request, scope)?;
        Ok(page.fixed().map_or(ErrorPage::Made(page), fixed))
    };
    let keys: [(&'static str, Read<'_>); 4] =
        [("errorfile", &file), ("errorloc", &found), ("errorloc303", &other), ("errorpage", &made)];
    let mut pages: Vec<(u16, ErrorPage)> = Vec::new();
    for (key, read) in keys {
        let Some(value) = table.take(key) else { continue };
        value.section(|table| {
            for (name, status) in ERRORS {
                let Some(value) = table.take(name) else { continue };
                let Some(text) = value.string() else { continue };
                let page = if pages.iter().any(|(other, _)| *other == status) {
                    Err(format!("an error has one answer, and {status} has another one"))
                } else {
                    read(status, text)
                };
                match page {
                    Ok(page) => pages.push((status, page)),
                    Err(why) => value.report(Mistake::new(value.place(), why, "")),
                }
            }
        });
    }
    pages
}

fn fixed(reply: Reply) -> ErrorPage {
    ErrorPage::Fixed(reply.into())
}

/// Where somebody may be sent, in a field.
fn location(text: &str) -> Result<(), String> {
    let is_sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound
        .then_some(())
        .ok_or_else(|| format!("'{text}' is no URL: expected such as https://example.com/sorry"))
}
