//! Parts of a text between delimiters: HAProxy's converters `field` and `word` (manual, 7.3.1).

/// Which parts are taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parts {
    /// Words have any number of delimiters between them; fields, which may be empty, have one.
    words: bool,
    /// From one, or from minus one at the end.
    index: i64,
    /// Each of these characters.
    delimiters: Box<[u8]>,
    /// So many, from this one to the end or, for those that are counted from there, to the beginning; 0: all of them.
    count: usize,
}

impl Parts {
    /// `field(INDEX,DELIMITERS[,COUNT])`, `word(…)`
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Self, String> {
        let expects = |what: &str| format!("converter '{name}' expects {what}");
        let (index, delimiters, count) = match arguments {
            [index, delimiters] => (index, delimiters, Some(1)),
            [index, delimiters, count] => (index, delimiters, count.parse().ok()),
            _ => return Err(expects("a number, delimiters, and a number of parts or nothing")),
        };
        let index = index.parse().ok().filter(|index| *index != 0);
        Ok(Self {
            words: name == "word",
            index: index.ok_or_else(|| expects("a number from one, or from minus one"))?,
            delimiters: Some(delimiters.as_bytes())
                .filter(|delimiters| !delimiters.is_empty())
                .ok_or_else(|| expects("delimiters"))?
                .into(),
            count: count.ok_or_else(|| expects("a number of parts"))?,
        })
    }

    /// The parts, with what stands between them; `None`: the text has no such field. A word that is not there is empty.
    pub(super) fn of<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let is_delimiter = |byte: &u8| self.delimiters.contains(byte);
        let mut spans = Vec::new();
        let mut begin = 0;
        for part in text.split(is_delimiter) {
            if !self.words || !part.is_empty() {
                spans.push(begin..begin + part.len());
            }
            begin += part.len() + 1;
        }
        let place = usize::try_from(self.index.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let forward = self.index > 0;
        if place >= spans.len() {
            return self.words.then_some(b"");
        }
        let first = if forward { place } else { spans.len() - 1 - place };
        let further = self.count.checked_sub(1);
        Some(if forward {
            let last = further.and_then(|further| spans.get(first.saturating_add(further)));
            &text[spans[first].start..last.map_or(text.len(), |last| last.end)]
        } else {
            let last = further.and_then(|further| spans.get(first.checked_sub(further)?));
            &text[last.map_or(0, |last| last.start)..spans[first].end]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_haproxys() {
        for (name, arguments, text, expected) in [
            ("field", "5 _", "f1_f2_f3__f5", Some("f5")),
            ("field", "2 _ 0", "f1_f2_f3__f5", Some("f2_f3__f5")),
            ("field", "2 _ 2", "f1_f2_f3__f5", Some("f2_f3")),
            ("field", "-2 _ 3", "f1_f2_f3_f4", Some("f1_f2_f3")),
            ("field", "-1 _", "f1_f2", Some("f2")),
            ("field", "-3 _ 0", "f1_f2_f3__f5", Some("f1_f2_f3")),
            ("field", "4 _", "f1_f2_f3__f5", Some("")),
            ("field", "2 .:", "a:b.c", Some("b")),
            ("field", "3 _", "a_b", None),
            ("field", "1 _", "", Some("")),
            ("word", "4 _", "f1_f2_f3__f5", Some("f5")),
            ("word", "2 _ 0", "f1_f2_f3__f5", Some("f2_f3__f5")),
            ("word", "3 _ 2", "f1_f2_f3__f5", Some("f3__f5")),
            ("word", "-2 _ 3", "f1_f2_f3_f4", Some("f1_f2_f3")),
            ("word", "-3 _ 0", "f1_f2_f3__f5", Some("f1_f2")),
            ("word", "2 /.", "/shop/a.png", Some("a")),
            ("word", "9 /", "/shop", Some("")),
        ] {
            let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
            let found = Parts::read(name, &arguments).unwrap().of(text.as_bytes());
            assert_eq!(found, expected.map(str::as_bytes), "{name} {arguments:?} {text}");
        }
        for arguments in [&["0", "_"][..], &["x", "_"], &["1", ""], &["1"], &["1", "_", "x"]] {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            assert!(Parts::read("field", &arguments).is_err(), "{arguments:?}");
        }
    }
}
