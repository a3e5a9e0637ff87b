//! Sections and lines of a file of HAProxy's.

/// A line with words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: usize,
    /// Its words, without quotes.
    pub(super) words: Vec<String>,
}

/// What kind of section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// What proxies inherit.
    Defaults,
    /// A backend, or a frontend and backend in one (`listen`).
    Backend,
    /// Everything else.
    Other,
}

/// A section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Where it begins.
    pub(super) number: usize,
    /// From which section of the file it inherits, by index.
    pub(super) parent: Option<usize>,
    pub(super) lines: Vec<Line>,
}

/// The first words of sections, as of HAProxy 3.2. Another word belongs to the section that is open.
const OTHERS: [&str; 16] = [
    "global",
    "frontend",
    "userlist",
    "peers",
    "resolvers",
    "cache",
    "program",
    "mailers",
    "ring",
    "http-errors",
    "fcgi-app",
    "log-forward",
    "log-profile",
    "crt-store",
    "traces",
    "acme",
];

/// How many `defaults` a section inherits from at most: a chain that is longer goes round.
const ANCESTORS: usize = 16;

/// All sections of `text`.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = words(line);
        let Some(first) = words.first() else { continue };
        let number = index + 1;
        let kind = match first.as_str() {
            "defaults" => Some(Kind::Defaults),
            "backend" | "listen" => Some(Kind::Backend),
            first if OTHERS.contains(&first) => Some(Kind::Other),
            _ => None,
        };
        match (kind, sections.last_mut()) {
            (Some(kind), _) => {
                let parent = parent(&sections, kind, &words);
                let name = words.get(1).filter(|name| *name != "from").cloned().unwrap_or_default();
                sections.push(Section { kind, name, number, parent, lines: Vec::new() });
            }
            (None, Some(section)) => section.lines.push(Line { number, words }),
            (None, None) => {}
        }
    }
    sections
}

/// The `defaults` that a new section inherits from: the one it names, or for a proxy the last before it.
fn parent(sections: &[Section], kind: Kind, words: &[String]) -> Option<usize> {
    let named = words.iter().position(|word| word == "from").and_then(|from| words.get(from + 1));
    let is_defaults = |section: &Section| section.kind == Kind::Defaults;
    match named {
        Some(name) => sections.iter().rposition(|section| is_defaults(section) && section.name == *name),
        None if kind == Kind::Backend => sections.iter().rposition(is_defaults),
        None => None,
    }
}

/// The section at `index` and all that it inherits from, the nearest first.
pub(super) fn lineage(sections: &[Section], index: usize) -> impl Iterator<Item = &Section> {
    std::iter::successors(sections.get(index), |section| {
        section.parent.and_then(|parent| sections.get(parent))
    })
    .take(ANCESTORS)
}

/// The words of a line: quotes and backslashes as HAProxy has them, up to a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (None, '#') => break,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (Some(open), close) if open == close => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, char) if char.is_whitespace() => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_as_haproxy_tells_them() {
        assert_eq!(words("  option  httpchk # why"), ["option", "httpchk"]);
        assert_eq!(words(r#"http-check send hdr Host "a b" x\ y 'c # d'"#)[4..], ["a b", "x y", "c # d"]);
        assert!(words("   # nothing").is_empty());
        assert_eq!(words(r#"a """#), ["a", ""]);
        assert_eq!(words("open \"quote"), ["open", "quote"]);
    }

    #[test]
    fn a_proxy_inherits_from_the_last_defaults_or_from_those_it_names() {
        let text = "defaults a\n mode http\ndefaults b from a\n retries 3\nbackend one\nbackend two from a\nfrontend f\n bind :80";
        let sections = sections(text);
        let names = |index| lineage(&sections, index).map(|section| section.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(2), ["one", "b", "a"]);
        assert_eq!(names(3), ["two", "a"]);
        assert_eq!((sections[4].kind, sections[4].lines[0].number), (Kind::Other, 8));
    }

    #[test]
    fn defaults_that_name_themselves_end() {
        let sections = sections("defaults a from a\nbackend b from a");
        assert!(lineage(&sections, 1).count() <= ANCESTORS);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in ["", "\\", "'", "server", "backend", "backend b\nserver\nserver a\nserver a b check port"]
        {
            let _sections = sections(text);
        }
    }
}
