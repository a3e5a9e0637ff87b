//! Every directive of HAProxy 2.6, and what becomes of it here.
//!
//! The table that people read (`proxy/DIRECTIVES.md`) is written from this one.

mod process;
mod proxies;

use super::{
    section::Directive,
    settings::{Kind, Reading, Side},
};

pub(super) use process::BEGINNINGS;

/// What becomes of a directive.
#[derive(Clone, Copy)]
pub(super) enum Does {
    /// It is read by this.
    Reads(fn(&mut Reading<'_>, &Directive)),
    /// A time for this key.
    Time(Side, &'static str),
    /// A number for this key.
    Number(Side, &'static str),
    /// All its words for this key.
    Words(Side, &'static str),
    /// An option, which sets this key or, after `no`, unsets it.
    Flag(Side, &'static str),
    /// What it asks for is so anyway.
    Nothing,
    /// It is ignored with a warning, for this reason.
    Ignored(&'static str),
    /// It is refused; this is why, and what to use.
    Refused(&'static str),
}

/// What becomes of something, for those who read the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Treatment {
    /// Where it is not quite HAProxy's, this says how.
    Supported(&'static str),
    /// For this reason, which a warning says.
    Ignored(&'static str),
    /// For this reason.
    Refused(&'static str),
}

/// A directive.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Its name, of one to three words.
    pub(super) name: &'static str,
    /// Where it may stand: `G` global, `D` defaults, `F` frontend and listen, `B` backend and listen.
    pub(super) sections: &'static str,
    pub(super) does: Does,
    /// Where it is not quite HAProxy's; what a reader of the table must know.
    pub(super) but: &'static str,
    /// It is a rule, and `defaults` have some only under a name.
    pub(super) is_rule: bool,
}

impl Known {
    const fn but(self, but: &'static str) -> Self {
        Self { but, ..self }
    }

    const fn rule(self) -> Self {
        Self { is_rule: true, ..self }
    }

    /// The half of a proxy whose key it sets, where it does no more than that.
    pub(super) const fn side(&self) -> Option<Side> {
        match self.does {
            Does::Time(side, _) | Does::Number(side, _) | Does::Words(side, _) | Does::Flag(side, _) => {
                Some(side)
            }
            Does::Reads(_) | Does::Nothing | Does::Ignored(_) | Does::Refused(_) => None,
        }
    }

    pub(super) const fn treatment(&self) -> Treatment {
        match self.does {
            Does::Ignored(why) => Treatment::Ignored(why),
            Does::Refused(why) => Treatment::Refused(why),
            _ => Treatment::Supported(self.but),
        }
    }

    pub(super) fn stands_in(&self, kind: Kind) -> bool {
        let letters: &[char] = match kind {
            Kind::Global => &['G'],
            Kind::Defaults => &['D'],
            Kind::Frontend => &['F'],
            Kind::Backend => &['B'],
            Kind::Listen => &['F', 'B'],
        };
        self.sections.contains(letters)
    }

    /// How many words its name has.
    pub(super) fn words(&self) -> usize {
        self.name.split(' ').count()
    }
}

const fn known(name: &'static str, sections: &'static str, does: Does) -> Known {
    Known { name, sections, does, but: "", is_rule: false }
}

/// Why a directive of old is refused.
const GONE: &str = "HAProxy has removed it, too";

/// All that have a name.
pub(super) fn all() -> impl Iterator<Item = &'static Known> {
    process::DIRECTIVES.iter().chain(proxies::DIRECTIVES)
}

const NO_TLS: &str = "TLS is not spoken here: put a program in front that ends it";
const NO_STICK: &str = "there are no stick tables: users are kept on their server by `cookie`";

/// Sections that hold nothing that is supported, and what is used in their place.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("userlist", "users are authenticated by the servers"),
    ("peers", NO_STICK),
    ("resolvers", "names are looked up once, when the configuration is read"),
    ("mailers", "no mail is sent: changes of servers are in the log"),
    ("cache", "nothing is cached: put a cache behind"),
    ("program", "programs are started by the service manager"),
    ("ring", "logs go to a syslog, a file or standard output"),
    ("fcgi-app", "servers speak HTTP"),
    ("log-forward", "it is no syslog server"),
    ("crt-list", NO_TLS),
    ("traces", "it is about HAProxy's insides"),
    ("dynamic-update", "the file's servers are all there are"),
    ("namespace_list", "start drain-proxy in the namespace in which its servers are"),
];

/// The directive whose name these words begin with, in a section of this kind; failing that, in any.
pub(super) fn find(words: &[String], kind: Kind) -> Option<(&'static Known, usize)> {
    let is_it = |known: &&Known| {
        let name: Vec<_> = known.name.split(' ').collect();
        words.len() >= name.len() && words.iter().zip(&name).all(|(word, part)| word == part)
    };
    let longest = |known: &&Known| known.words();
    let here = all().filter(|known| known.stands_in(kind)).filter(is_it).max_by_key(longest);
    let found = here.or_else(|| all().filter(is_it).max_by_key(longest));
    let begins = |known: &&Known| words[0].starts_with(known.name);
    let found = found.or_else(|| BEGINNINGS.iter().find(begins));
    found.map(|known| (known, known.words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once_in_a_section() {
        for (index, one) in all().enumerate() {
            assert!(one.words() <= 3 && !one.sections.is_empty(), "{}", one.name);
            let again = all().skip(index + 1).filter(|other| other.name == one.name);
            for other in again {
                assert!(!other.sections.contains(|c| one.sections.contains(c)), "{}", one.name);
            }
        }
    }

    #[test]
    fn the_longest_name_counts() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let name = |text: &str, kind| find(&words(text), kind).map(|(known, _)| known.name);
        assert_eq!(name("http-check send-state", Kind::Backend), Some("http-check send-state"));
        assert_eq!(name("http-check send meth GET", Kind::Backend), Some("http-check send"));
        assert_eq!(name("tune.idletimer 1", Kind::Global), Some("tune."));
        assert_eq!(name("nope", Kind::Global), None);
    }
}
