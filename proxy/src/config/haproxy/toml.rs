//! The TOML that says the same, where each line knows the directive that it comes from.

use super::{message::Place, section::Directive};

/// What a line of the TOML comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    pub(super) place: Place,
    /// The directive's first words, as people call it: `timeout connect`.
    pub(super) directive: String,
}

impl Origin {
    pub(super) fn of(directive: &Directive, words: usize) -> Self {
        let name = directive.words[..words.min(directive.words.len())].join(" ");
        Self { place: directive.place.clone(), directive: name }
    }
}

/// A value and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// As TOML has it, on one line.
    pub(super) value: String,
    pub(super) origin: Option<Origin>,
    pub(super) comments: Vec<String>,
}

impl Piece {
    /// What a directive whose name has so many words comes to.
    pub(super) fn of(value: impl Into<String>, directive: &Directive, words: usize) -> Self {
        let origin = Some(Origin::of(directive, words));
        Self { value: value.into(), origin, comments: directive.comments.clone() }
    }

    /// What no directive says, for HAProxy does so without one.
    pub(super) fn default(value: impl Into<String>) -> Self {
        Self { value: value.into(), origin: None, comments: Vec::new() }
    }
}

/// What stands behind a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    One(Piece),
    /// An array, each of its values on a line of its own.
    List(Vec<Piece>),
}

/// A table of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Table {
    /// `[frontend.web]`.
    head: String,
    origin: Option<Origin>,
    comments: Vec<String>,
    entries: Vec<(String, Content)>,
}

impl Table {
    pub(super) fn new(head: impl Into<String>, origin: Option<Origin>, comments: Vec<String>) -> Self {
        Self { head: head.into(), origin, comments, entries: Vec::new() }
    }

    pub(super) fn one(&mut self, key: impl Into<String>, piece: Piece) {
        self.entries.push((key.into(), Content::One(piece)));
    }

    /// Nothing where there are none.
    pub(super) fn list(&mut self, key: impl Into<String>, pieces: Vec<Piece>) {
        if !pieces.is_empty() {
            self.entries.push((key.into(), Content::List(pieces)));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The text, and what each of its lines comes from.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Rendered {
    pub(super) text: String,
    origins: Vec<Option<Origin>>,
}

impl Rendered {
    /// What the line that this byte stands on comes from.
    pub(super) fn origin(&self, byte: usize) -> Option<&Origin> {
        let before = self.text.as_bytes()[..byte.min(self.text.len())].iter();
        let line = memchr::memchr_iter(b'\n', before.as_slice()).count();
        self.origins.get(line)?.as_ref()
    }

    fn line(&mut self, text: &str, origin: Option<&Origin>) {
        self.text.push_str(text);
        self.text.push('\n');
        self.origins.push(origin.cloned());
    }

    fn comments(&mut self, indent: &str, comments: &[String]) {
        for comment in comments {
            // A control character can't stand in a comment.
            let comment: String = comment.chars().filter(|c| !c.is_control() || *c == '\t').collect();
            self.line(format!("{indent}# {comment}").trim_end(), None);
        }
    }

    /// All tables, with the comments of the files, and behind them those that belong to none.
    pub(super) fn of(tables: &[Table], trailer: &[String]) -> Self {
        let mut rendered = Self::default();
        for table in tables {
            if !rendered.text.is_empty() {
                rendered.line("", None);
            }
            rendered.comments("", &table.comments);
            rendered.line(&table.head, table.origin.as_ref());
            for (key, content) in &table.entries {
                match content {
                    Content::One(piece) => {
                        rendered.comments("", &piece.comments);
                        let origin = piece.origin.as_ref().or(table.origin.as_ref());
                        rendered.line(&format!("{key} = {}", piece.value), origin);
                    }
                    Content::List(pieces) => {
                        let first = pieces.first().and_then(|piece| piece.origin.as_ref());
                        rendered.line(&format!("{key} = ["), first.or(table.origin.as_ref()));
                        for piece in pieces {
                            rendered.comments("  ", &piece.comments);
                            let origin = piece.origin.as_ref().or(table.origin.as_ref());
                            rendered.line(&format!("  {},", piece.value), origin);
                        }
                        rendered.line("]", first);
                    }
                }
            }
        }
        if !trailer.is_empty() {
            rendered.line("", None);
            rendered.comments("", trailer);
        }
        rendered
    }
}

/// A string of TOML.
pub(super) fn text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// An array of strings, on one line.
pub(super) fn texts<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<_> = items.into_iter().map(|item| text(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// A key of TOML.
pub(super) fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { text(name) }
}

/// An inline table.
pub(super) fn table(entries: &[(&str, String)]) -> String {
    let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back() {
        for sample in ["", "a\"b\\c", "\t\n\r\0\u{7f}\u{85}", "é"] {
            let file = format!("x = {}", text(sample));
            let read: toml::Table = toml::from_str(&file).unwrap();
            assert_eq!(read["x"].as_str(), Some(sample));
        }
    }

    #[test]
    fn a_line_knows_its_directive() {
        let place = Place { file: "a.cfg".into(), line: 3 };
        let words = ["retries", "2"].map(str::to_owned).to_vec();
        let directive = Directive { place, words, comments: vec!["twice".into()] };
        let mut table = Table::new("[backend.a]", None, Vec::new());
        table.one("retries", Piece::of("2", &directive, 1));
        let rendered = Rendered::of(&[table], &[]);
        assert_eq!(rendered.text, "[backend.a]\n# twice\nretries = 2\n");
        assert_eq!(rendered.origin(0), None);
        assert_eq!(rendered.origin(rendered.text.len() - 2).unwrap().directive, "retries");
    }
}
