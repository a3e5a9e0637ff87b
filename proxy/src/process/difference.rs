//! What a configuration that was read again changes, in one line for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::Config;

/// What differs between two configurations.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Difference {
    /// From `old` to `new`. A server at another address is another server.
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut difference = Self::default();
        let backend_of = |config: &Config, index: usize| config.backends[index].name.clone();
        difference.compare(
            old.frontends.iter().map(|frontend| (format!("frontend {}", frontend.name), frontend)),
            new.frontends.iter().map(|frontend| (format!("frontend {}", frontend.name), frontend)),
            // Its backend's place in the file does not matter.
            |before, after| {
                let name = [backend_of(old, before.backend.0), backend_of(new, after.backend.0)];
                let mut before = before.clone();
                before.backend = after.backend;
                before == *after && name[0] == name[1]
            },
        );
        difference.compare(
            old.backends.iter().map(|backend| (format!("backend {}", backend.name), backend)),
            new.backends.iter().map(|backend| (format!("backend {}", backend.name), backend)),
            |before, after| {
                let mut before = before.clone();
                before.servers.clone_from(&after.servers);
                before == *after
            },
        );
        difference.compare(servers(old), servers(new), |before, after| before == after);
        difference.compare(
            [("limits".to_owned(), &old.limits)].into_iter(),
            [("limits".to_owned(), &new.limits)].into_iter(),
            |before, after| before == after,
        );
        difference.compare(
            [("admin".to_owned(), &old.admin)].into_iter(),
            [("admin".to_owned(), &new.admin)].into_iter(),
            |before, after| before == after,
        );
        difference
    }

    fn compare<'a, T: 'a>(
        &mut self,
        old: impl Iterator<Item = (String, &'a T)>,
        new: impl Iterator<Item = (String, &'a T)>,
        is_same: impl Fn(&T, &T) -> bool,
    ) {
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (old.collect(), new.collect());
        let names: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
        for name in names {
            match (old.get(&name), new.get(&name)) {
                (None, _) => self.added.push(name),
                (_, None) => self.removed.push(name),
                (Some(before), Some(after)) if !is_same(before, after) => self.changed.push(name),
                _ => {}
            }
        }
    }
}

fn servers(config: &Config) -> impl Iterator<Item = (String, &crate::config::Server)> {
    config.backends.iter().flat_map(|backend| {
        let name = &backend.name;
        backend
            .servers
            .iter()
            .map(move |server| (format!("server {name}/{} ({})", server.name, server.address), server))
    })
}

/// Things of a kind that are named; the others are counted: a line is for people.
const MOST_NAMED: usize = 20;

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let said: Vec<_> = kinds
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| {
                let more = names.len().saturating_sub(MOST_NAMED);
                let named = names[..names.len() - more].join(", ");
                if more > 0 { format!("{what}: {named} and {more} more") } else { format!("{what}: {named}") }
            })
            .collect();
        out.write_str(if said.is_empty() { "nothing has changed" } else { "" })?;
        out.write_str(&said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("test.toml", text, &|_, _| Ok(Vec::new())).unwrap()
    }

    const OLD: &str = r#"
        [frontend.web]
        bind = ["127.0.0.1:8000"]
        backend = "shop"
        [[backend.shop.server]]
        name = "a"
        address = "127.0.0.1:1"
        [[backend.shop.server]]
        name = "b"
        address = "127.0.0.1:2"
    "#;

    #[test]
    fn what_changes_is_named() {
        let old = config(OLD);
        assert_eq!(Difference::between(&old, &old).to_string(), "nothing has changed");
        let new = r#"
            [backend.api]
            retries = 1
            [[backend.api.server]]
            name = "x"
            address = "127.0.0.1:9"
            [frontend.web]
            bind = ["127.0.0.1:8000"]
            backend = "shop"
            [frontend.api]
            bind = ["127.0.0.1:8001"]
            backend = "api"
            [backend.shop]
            retries = 2
            [[backend.shop.server]]
            name = "a"
            address = "127.0.0.1:1"
            weight = 5
            [[backend.shop.server]]
            name = "b"
            address = "127.0.0.1:3"
            [limits]
            connections = 100
        "#;
        assert_eq!(
            Difference::between(&old, &config(new)).to_string(),
            "added: frontend api, backend api, server api/x (127.0.0.1:9), server shop/b (127.0.0.1:3); removed: server \
             shop/b (127.0.0.1:2); changed: frontend web, backend shop, server shop/a (127.0.0.1:1), limits"
        );
    }

    #[test]
    fn the_place_in_the_file_is_no_change() {
        let reordered = OLD.replace("\"a\"", "\"c\"").replace("\"b\"", "\"a\"").replace("\"c\"", "\"b\"");
        let reordered = reordered.replace(":1\"", ":9\"").replace(":2\"", ":1\"").replace(":9\"", ":2\"");
        assert_eq!(Difference::between(&config(OLD), &config(&reordered)), Difference::default());
    }
}
