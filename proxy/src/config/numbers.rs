//! HAProxy's numbers of proxies (`iid`, `be_id`), by which runtime commands (`#3/#1`) and state files name them.

use drain_config::Table;

use super::{Backend, BackendIndex, Frontend};

/// A proxy as HAProxy counts them: a frontend, a backend, or both where a frontend sends its requests to the backend of
/// its own name (HAProxy's `listen`), unless each of them has an `id`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbered {
    /// HAProxy's `iid`.
    pub number: u32,
    /// What it is towards clients, as its place in [`super::Config::frontends`].
    pub frontend: Option<usize>,
    /// What it is towards servers.
    pub backend: Option<BackendIndex>,
}

/// What is known of a table's number when it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// `id`, where it has one.
    id: Option<u32>,
    /// Where it begins in the text.
    place: usize,
}

/// Takes a table's `id`, which must not be among those that are `taken`.
pub(super) fn claim(table: &Table<'_>, taken: &mut Vec<u32>) -> Claim {
    let id = table.field("id", None, |value| {
        let id = value.number(1, i64::from(i32::MAX)).and_then(|id: i64| u32::try_from(id).ok())?;
        if taken.contains(&id) {
            value.wrong(
                "is the number of another proxy",
                "expected one that no other frontend or backend has",
            );
            return None;
        }
        taken.push(id);
        Some(Some(id))
    });
    Claim { id: id.copied(), place: table.place().start }
}

/// The first number of a proxy: HAProxy's own for commands is before it.
const FIRST: u32 = 2;

/// HAProxy's count of proxies: one with an `id` of its own uses a number up all the same.
#[derive(Clone, Debug)]
pub(super) struct Count {
    taken: Vec<u32>,
    next: u32,
}

impl Count {
    /// From [`FIRST`] on, passing over those that are taken.
    pub(super) fn passing(taken: Vec<u32>) -> Self {
        Self { taken, next: FIRST }
    }

    /// The number of the next proxy, which may have one of its own.
    pub(super) fn next(&mut self, id: Option<u32>) -> u32 {
        let number = id.unwrap_or_else(|| {
            while self.taken.contains(&self.next) {
                self.next += 1;
            }
            self.next
        });
        self.next += 1;
        number
    }
}

/// Numbers proxies from [`FIRST`] on, in the order of the text, passing over numbers that are taken; each of these has a
/// claim.
pub(super) fn number(frontends: &[(Frontend, Claim)], backends: &[(Backend, Claim)]) -> Vec<Numbered> {
    let of_frontend = |(at, (frontend, claim)): (usize, &(Frontend, Claim))| {
        let backend = frontend.backend;
        let other = backends.get(backend.0).filter(|(backend, other)| {
            backend.name == frontend.name && (claim.id.is_none() || other.id.is_none())
        });
        let claim = other.map_or(*claim, |(_, other)| Claim {
            id: claim.id.or(other.id),
            place: claim.place.min(other.place),
        });
        (claim, Some(at), other.map(|_| backend))
    };
    let mut all: Vec<_> = frontends.iter().enumerate().map(of_frontend).collect();
    for (at, (_, claim)) in backends.iter().enumerate() {
        let backend = Some(BackendIndex(at));
        if !all.iter().any(|(.., other)| *other == backend) {
            all.push((*claim, None, backend));
        }
    }
    all.sort_by_key(|(claim, ..)| claim.place);
    let taken: Vec<u32> = all.iter().filter_map(|(claim, ..)| claim.id).collect();
    let mut count = Count::passing(taken);
    let numbered = all.into_iter().map(|(claim, frontend, backend)| Numbered {
        number: count.next(claim.id),
        frontend,
        backend,
    });
    numbered.collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn numbers(text: &str) -> Vec<(u32, Option<usize>, Option<usize>)> {
        let config = Config::parse("test.toml", text, &|_, _| Ok(Vec::new())).unwrap();
        let shown = config
            .proxies
            .iter()
            .map(|proxy| (proxy.number, proxy.frontend, proxy.backend.map(|backend| backend.0)));
        shown.collect()
    }

    #[test]
    fn proxies_are_numbered_in_the_order_of_the_file() {
        let text = r#"
            [frontend.f]
            bind = ["127.0.0.1:81"]
            backend = "b"
            [backend.b]
            server = []
            [frontend.g]
            bind = ["127.0.0.1:82"]
            backend = "g"
            [backend.c]
            id = 3
            server = []
            [backend.g]
            server = []
        "#;
        assert_eq!(
            numbers(text),
            [(2, Some(0), None), (4, None, Some(0)), (5, Some(1), Some(2)), (3, None, Some(1))]
        );
        assert_eq!(
            numbers(&text.replace("id = 3", "")),
            [(2, Some(0), None), (3, None, Some(0)), (4, Some(1), Some(2)), (5, None, Some(1))]
        );
        let twice = text.replace("[backend.g]", "[backend.g]\nid = 3");
        assert!(Config::parse("test.toml", &twice, &|_, _| Ok(Vec::new())).is_err());
    }
}
