//! Rules as the configuration has them.

use drain_config::{Mistake, Table, Value};

use super::{
    Rule, Rules,
    action::{Action, Side},
    answer::{ERRORS, ErrorFile},
    condition::{Condition, Lists, split},
    sample::Sample,
    statistics::Statistics,
    unique::UniqueId,
};
use crate::config::haproxy::words;

/// Rules of a list at most: each is looked at for every request.
const MOST_RULES: usize = 10_000;

impl Rules {
    /// The keys of a frontend, whose rules may name `backends`.
    pub(crate) fn of_frontend(table: &Table<'_>, backends: &[&str]) -> Self {
        let lists = lists(table);
        let mut rules = Self::of_both(table, &lists, backends);
        let asked = |words: &[String]| {
            let condition = Condition::read(words, &lists)?;
            check(condition.samples(), Side::Request, backends)?;
            Ok(condition)
        };
        rules.use_backend = each(table, "use_backend", |words| {
            let (name, condition) = words.split_first().ok_or("expected a backend's name")?;
            let place = backends.iter().position(|backend| backend == name);
            let place = place.ok_or_else(|| format!("there is no backend '{name}'"))?;
            Ok((place, asked(condition)?))
        });
        rules.monitor_uri = table.take("monitor_uri").and_then(|value| value.string()).map(Into::into);
        rules.monitor_fail = each(table, "monitor_fail", asked);
        rules.unique_id = table.take("unique_id").and_then(|value| value.section(UniqueId::read)).flatten();
        rules
    }

    /// The keys of a backend, whose rules may name `backends`.
    pub(crate) fn of_backend(table: &Table<'_>, backends: &[&str]) -> Self {
        Self::of_both(table, &lists(table), backends)
    }

    fn of_both(table: &Table<'_>, lists: &Lists, backends: &[&str]) -> Self {
        let rule = |side: Side| {
            move |words: &[String]| {
                let (action, condition) = split(words);
                let (action, condition) = (Action::read(side, action)?, Condition::read(condition, lists)?);
                check(action.samples().into_iter().chain(condition.samples()), side, backends)?;
                Ok(Rule { action, condition })
            }
        };
        let asked = |words: &[String]| {
            let condition = Condition::read(words, lists)?;
            check(condition.samples(), Side::Request, backends)?;
            Ok(condition)
        };
        let after = |words: &[String]| {
            let rule: Rule = rule(Side::Response)(words)?;
            match rule.action {
                Action::Withhold => {
                    Err("action 'deny' is not known here: no answer is kept back any more".into())
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
            error_files: table.take("errorfile").map(|value| error_files(&value)).unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// What can't be looked at by rules of this side.
fn check<'s>(samples: impl Iterator<Item = &'s Sample>, side: Side, backends: &[&str]) -> Result<(), String> {
    samples.into_iter().try_for_each(|sample| sample.check(side, backends))
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
        ERRORS.into_iter().filter_map(one).collect::<Vec<_>>()
    });
    read.unwrap_or_default()
}
