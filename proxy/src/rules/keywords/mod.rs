//! HAProxy's words for what rules do, look at and make of it (2.6), and what becomes of each.
//!
//! The readers of rules refuse by these tables, and the tables that people read (`proxy/DIRECTIVES.md`) are written from
//! them.

mod actions;
mod converters;
mod fetches;

pub(crate) use self::{actions::ACTIONS, converters::CONVERTERS, fetches::FETCHES};
use crate::config::haproxy::nearest::did_you_mean;

/// A word of HAProxy's. One that ends in `*` stands for all that begin so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Keyword {
    pub(crate) name: &'static str,
    /// Why it is refused, and what to use; `None`: it is supported.
    pub(crate) refused: Option<&'static str>,
    /// Where it is supported and not quite HAProxy's; for an action also where it may stand.
    pub(crate) but: &'static str,
    /// Of an action: the directives in which it may stand, by their letters: `q` request, `s` response, `a` whatever
    /// clients get.
    pub(crate) directives: &'static str,
}

impl Keyword {
    const fn but(self, but: &'static str) -> Self {
        Self { but, ..self }
    }

    const fn in_directives(self, directives: &'static str) -> Self {
        Self { directives, ..self }
    }

    fn is(&self, name: &str) -> bool {
        self.name == name || self.name.strip_suffix('*').is_some_and(|begin| name.starts_with(begin))
    }
}

const fn yes(name: &'static str) -> Keyword {
    Keyword { name, refused: None, but: "", directives: "" }
}

const fn no(name: &'static str, why: &'static str) -> Keyword {
    Keyword { name, refused: Some(why), but: "", directives: "" }
}

/// Why a word is refused that has its place in a table; `None`: it is supported, or unknown.
pub(super) fn refusal(table: &[Keyword], name: &str) -> Option<&'static str> {
    table.iter().find(|keyword| keyword.is(name)).and_then(|keyword| keyword.refused)
}

/// What is said of a word that no table has.
pub(super) fn unknown(table: &[Keyword], name: &str, what: &str) -> String {
    let names = table.iter().filter(|keyword| keyword.refused.is_none()).map(|keyword| keyword.name);
    format!("'{name}' is no {what} that is known here{}", did_you_mean(name, names))
}

const NO_TLS: &str = "TLS is not spoken here: put a program in front that ends it";
const NO_STICK: &str = "there are no stick tables: users are kept on their server by `cookie`";
const NO_BODY: &str = "rules do not look into bodies: let the servers do that";
const NO_BYTES: &str =
    "rules look at HTTP, not at the bytes of a connection: use such as path, hdr(NAME) or method";
const NO_USERS: &str = "users are authenticated by the servers; for the statistics write `stats auth`";
const NO_HASH: &str = "use `crc32`";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        action::{Action, Side},
        converter::Converter,
        fetch::Fetch,
        sample::Sample,
    };

    fn is_supported(table: &[Keyword], name: &str) -> bool {
        table.iter().find(|keyword| keyword.is(name)).is_some_and(|keyword| keyword.refused.is_none())
    }

    /// Whatever is read is in its table as supported, and the other way round: what is refused by the tables never gets
    /// to a reader, and what is supported is known to one.
    #[test]
    fn a_table_and_its_reader_know_the_same() {
        for keyword in ACTIONS {
            for (side, letter) in [(Side::Request, 'q'), (Side::Response, 's')] {
                let said = Action::read(side, &[keyword.name.trim_end_matches('*').to_owned()]);
                let is_unknown = matches!(&said, Err(why) if why.contains("is not known"));
                let is_refused = matches!(&said, Err(why) if why.contains("is not supported"));
                let expected = (
                    keyword.refused.is_none() && !keyword.directives.contains(letter),
                    keyword.refused.is_some(),
                );
                assert_eq!((is_unknown, is_refused), expected, "{} {letter}: {said:?}", keyword.name);
            }
        }
        let arguments = ["1", "2"].map(str::to_owned);
        for keyword in FETCHES {
            let name = keyword.name.trim_end_matches('*');
            let knows = (0..=arguments.len()).any(|count| {
                let read = |name| Fetch::read(name, &arguments[..count]);
                let derived = Sample::derived(name).is_some_and(|(base, _)| !matches!(read(base), Ok(None)));
                !matches!(read(name), Ok(None)) || derived
            });
            assert_eq!(knows, is_supported(FETCHES, name), "{}", keyword.name);
        }
        for keyword in CONVERTERS {
            let name = keyword.name.trim_end_matches('*');
            let said = Converter::read(name, &[]);
            let is_refused = matches!(&said, Err(why) if why.contains("is not supported"));
            assert_eq!(is_refused, keyword.refused.is_some(), "{}: {said:?}", keyword.name);
        }
        for name in ["lower", "regsub", "map_beg", "add", "even", "concat"] {
            assert!(is_supported(CONVERTERS, name), "{name}");
        }
    }

    /// The first that a word is decides: none is hidden by one before it.
    #[test]
    fn each_word_stands_once() {
        for table in [ACTIONS, FETCHES, CONVERTERS] {
            for (index, keyword) in table.iter().enumerate() {
                let name = keyword.name.trim_end_matches('*');
                assert!(!table[..index].iter().any(|earlier| earlier.is(name)), "{}", keyword.name);
            }
        }
    }

    #[test]
    fn a_word_that_is_near_is_named() {
        assert_eq!(
            unknown(CONVERTERS, "lowr", "converter"),
            "'lowr' is no converter that is known here; did you mean 'lower' maybe ?"
        );
        assert_eq!(refusal(FETCHES, "sc1_conn_rate"), Some(NO_STICK));
        assert_eq!(refusal(FETCHES, "src_conn_rate"), Some(NO_STICK));
        assert_eq!(refusal(FETCHES, "src_port"), None);
    }
}
