//! Rules as the configuration has them.

use drain_config::{Mistake, Table, Value};

use super::{
    Rule, Rules,
    action::{Action, Side},
    answer::ErrorFile,
    condition::{Condition, Lists, split},
};
use crate::config::haproxy::words;

/// Rules of a list at most: each is looked at for every request.
const MOST_RULES: usize = 10_000;

impl Rules {
    /// The keys of a frontend, which may name `backends`.
    pub(crate) fn of_frontend(table: &Table<'_>, backends: &[&str]) -> Self {
        let lists = lists(table);
        let mut rules = Self::of_both(table, &lists);
        rules.use_backend = each(table, "use_backend", |words| {
            let (name, condition) = words.split_first().ok_or("expected a backend's name")?;
            let place = backends.iter().position(|backend| backend == name);
            let place = place.ok_or_else(|| format!("there is no backend '{name}'"))?;
            Ok((place, request_condition(condition, &lists)?))
        });
        rules.monitor_uri = table.take("monitor_uri").and_then(|value| value.string()).map(Into::into);
        rules.monitor_fail = each(table, "monitor_fail", |words| request_condition(words, &lists));
        rules
    }

    /// The keys of a backend.
    pub(crate) fn of_backend(table: &Table<'_>) -> Self {
        Self::of_both(table, &lists(table))
    }

    fn of_both(table: &Table<'_>, lists: &Lists) -> Self {
        let rule = |side: Side| {
            move |words: &[String]| {
                let (action, condition) = split(words);
                let condition = match side {
                    Side::Request => request_condition(condition, lists)?,
                    Side::Response => Condition::read(condition, lists)?,
                };
                Ok(Rule { action: Action::read(side, action)?, condition })
            }
        };
        Self {
            request: each(table, "http_request", rule(Side::Request)),
            response: each(table, "http_response", rule(Side::Response)),
            error_files: table.take("errorfile").map(|value| error_files(&value)).unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// A condition that a request alone can tell.
fn request_condition(words: &[String], lists: &Lists) -> Result<Condition, String> {
    let condition = Condition::read(words, lists)?;
    if condition.needs_response() {
        return Err("'status' is known of a response only".into());
    }
    Ok(condition)
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

/// `errorfile = { 503 = "/etc/errors/503.http" }`
fn error_files(value: &Value<'_>) -> Vec<(u16, ErrorFile)> {
    let statuses: [(&str, u16); 18] = [
        ("200", 200),
        ("400", 400),
        ("401", 401),
        ("403", 403),
        ("404", 404),
        ("405", 405),
        ("407", 407),
        ("408", 408),
        ("410", 410),
        ("413", 413),
        ("421", 421),
        ("425", 425),
        ("429", 429),
        ("500", 500),
        ("501", 501),
        ("502", 502),
        ("503", 503),
        ("504", 504),
    ];
    let read = value.section(|table| {
        let one = |(key, status): (&'static str, u16)| {
            let value = table.take(key)?;
            match ErrorFile::read(status, value.string()?) {
                Ok(file) => Some((status, file)),
                Err(why) => {
                    value.report(Mistake::new(value.place(), why, ""));
                    None
                }
            }
        };
        statuses.into_iter().filter_map(one).collect::<Vec<_>>()
    });
    read.unwrap_or_default()
}
