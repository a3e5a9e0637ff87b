//! A line of haproxy.cfg, as words.
//!
//! The rules are those of HAProxy's manual, 2.2 and 2.3: white space parts words; `#` begins a comment; a backslash
//! takes the meaning from a blank, `#`, `\`, `'`, `"`, and stands for `\n`, `\r`, `\t` and `\xHH`; nothing has a meaning
//! within `'…'`; environment variables have their values within `"…"` only, where `${NAME-else}` has a default and
//! `${NAME[*]}` becomes as many words as it has. No line goes on in the next one.

/// Words of a line at most; HAProxy's number.
const MOST_WORDS: usize = 64;

/// Bytes of a line at most, once its variables stand in it: no directive needs more, and a few variables within
/// each other's values must not fill the memory.
const MOST_BYTES: usize = 64 * 1024;

/// A line, read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Line {
    /// Its words, without quotes, with values in the place of variables.
    pub(super) words: Vec<String>,
    /// What stands behind `#`.
    pub(super) comment: Option<String>,
}

/// Why a line can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("unmatched quote at position {0}")]
    Quote(usize),
    #[error("unmatched brace in environment variable name at position {0}")]
    Brace(usize),
    #[error("forbidden first char in environment variable name at position {0}")]
    Name(usize),
    #[error("truncated or invalid hexadecimal sequence at position {0}")]
    Hex(usize),
    #[error("truncated or invalid word expansion sequence at position {0}")]
    Expansion(usize),
    #[error("too many words, at most {MOST_WORDS} may stand on a line")]
    Words,
    #[error("the line is too long: with the values of its variables it may have {MOST_BYTES} bytes")]
    Long,
    #[error("a word is not UTF-8: escape sequences may name ASCII characters only")]
    Text,
}

/// Reads a line; `variable` gives the value of an environment variable, or of a pseudo-variable such as `.LINE`.
pub(super) fn split(line: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Line, Fault> {
    Splitter { bytes: line.as_bytes(), at: 0, words: Vec::new(), word: None, total: 0, variable }.run()
}

/// Words as one text, of which [`split`] makes the same words again.
pub(super) fn joined<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word.as_ref())).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_whitespace() && c != '\u{b}' && !"#\"'\\".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.contains(['\'', '\r', '\n']) {
        return format!("'{word}'");
    }
    let mut text = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' | '$' => text.extend(['\\', character]),
            '\r' => text.push_str("\\r"),
            '\n' => text.push_str("\\n"),
            _ => text.push(character),
        }
    }
    text + "\""
}

/// A variable within double quotes.
struct Variable<'l> {
    name: &'l str,
    default: Option<&'l str>,
    as_words: bool,
}

struct Splitter<'l> {
    bytes: &'l [u8],
    at: usize,
    words: Vec<Vec<u8>>,
    /// The word that is being read; `None` between words.
    word: Option<Vec<u8>>,
    total: usize,
    variable: &'l dyn Fn(&str) -> Option<String>,
}

impl<'l> Splitter<'l> {
    fn run(mut self) -> Result<Line, Fault> {
        let mut comment = None;
        // Where the quote that is open began, and whether it is a double one.
        let mut quote: Option<(usize, bool)> = None;
        while let Some(&byte) = self.bytes.get(self.at) {
            let within = quote.map(|(_, double)| double);
            match (byte, within) {
                (b'\r' | b'\n', _) => break,
                (b'#', None) => {
                    comment = Some(String::from_utf8_lossy(&self.bytes[self.at + 1..]).trim().to_owned());
                    break;
                }
                (b'"', None | Some(true)) | (b'\'', None | Some(false)) => {
                    self.word.get_or_insert_default();
                    quote = if within.is_some() { None } else { Some((self.at + 1, byte == b'"')) };
                    self.at += 1;
                }
                (b'\\', None | Some(true)) => self.escape(within == Some(true))?,
                (b'$', Some(true)) => self.expand()?,
                (blank, None) if blank.is_ascii_whitespace() || blank == 0x0b => {
                    self.end_word()?;
                    self.at += 1;
                }
                _ => {
                    self.put(byte)?;
                    self.at += 1;
                }
            }
        }
        if let Some((at, _)) = quote {
            return Err(Fault::Quote(at));
        }
        self.end_word()?;
        let words = self.words.into_iter().map(String::from_utf8).collect::<Result<_, _>>();
        Ok(Line { words: words.map_err(|_| Fault::Text)?, comment })
    }

    fn put(&mut self, byte: u8) -> Result<(), Fault> {
        self.total += 1;
        if self.total > MOST_BYTES {
            return Err(Fault::Long);
        }
        self.word.get_or_insert_default().push(byte);
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), Fault> {
        let Some(word) = self.word.take() else { return Ok(()) };
        if self.words.len() == MOST_WORDS {
            return Err(Fault::Words);
        }
        self.words.push(word);
        Ok(())
    }

    /// A backslash. What is no escape sequence stays as it is.
    fn escape(&mut self, quoted: bool) -> Result<(), Fault> {
        let (byte, length) = match self.bytes.get(self.at + 1) {
            Some(&byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => (byte, 2),
            Some(b't') => (b'\t', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'$') if quoted => (b'$', 2),
            Some(b'x') => {
                let digits = self.bytes.get(self.at + 2..self.at + 4).unwrap_or_default();
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                let are_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(digits, 16).ok().filter(|_| are_hex);
                (byte.ok_or(Fault::Hex(self.at + 1))?, 4)
            }
            _ => (b'\\', 1),
        };
        self.at += length;
        self.put(byte)
    }

    /// A `$` within double quotes.
    fn expand(&mut self) -> Result<(), Fault> {
        let variable = self.variable()?;
        let value = (self.variable)(variable.name);
        let Some(value) = value.as_deref().or(variable.default) else { return Ok(()) };
        let mut in_blanks = false;
        for byte in value.bytes() {
            if variable.as_words && byte.is_ascii_whitespace() {
                if !in_blanks {
                    self.word.get_or_insert_default();
                    self.end_word()?;
                }
                in_blanks = true;
                continue;
            }
            in_blanks = false;
            self.put(byte)?;
        }
        Ok(())
    }

    /// Reads `$NAME`, `${NAME}`, `${NAME-else}` or `${NAME[*]}`.
    fn variable(&mut self) -> Result<Variable<'l>, Fault> {
        let line = self.bytes;
        let braced = line.get(self.at + 1) == Some(&b'{');
        let open = self.at + 2;
        let begin = self.at + 1 + usize::from(braced);
        if !line.get(begin).is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.')) {
            return Err(Fault::Name(begin + 1));
        }
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let end =
            begin + 1 + line[begin + 1..].iter().position(|b| !is_name(b)).unwrap_or(line.len() - begin - 1);
        let name = std::str::from_utf8(&line[begin..end]).map_err(|_| Fault::Text)?;
        self.at = end;
        let mut variable = Variable { name, default: None, as_words: false };
        if !braced {
            return Ok(variable);
        }
        if line.get(self.at) == Some(&b'[') {
            if !line[self.at..].starts_with(b"[*]") {
                return Err(Fault::Expansion(self.at + 1));
            }
            variable.as_words = true;
            self.at += 3;
        }
        let close = line[self.at..].iter().position(|byte| *byte == b'}').ok_or(Fault::Brace(open))?;
        let rest = &line[self.at..self.at + close];
        self.at += close + 1;
        match rest {
            [] => {}
            [b'-', default @ ..] => {
                variable.default = Some(std::str::from_utf8(default).map_err(|_| Fault::Text)?);
            }
            _ => return Err(Fault::Brace(open)),
        }
        Ok(variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>, Fault> {
        let variable = |name: &str| match name {
            "HOST" => Some("shop.example".to_owned()),
            "LIST" => Some(" a  b c".to_owned()),
            "EMPTY" => Some(String::new()),
            ".LINE" => Some("7".to_owned()),
            _ => None,
        };
        split(line, &variable).map(|line| line.words)
    }

    #[test]
    fn words_are_haproxys() {
        for (line, expected) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("bind :80 # all", &["bind", ":80"]),
            (r"a\ b \#c \\d", &["a b", "#c", "\\d"]),
            (r"tab\tx \x41 \1 \q", &["tab\tx", "A", r"\1", r"\q"]),
            (r#""two words" 'and $HOST \x41'"#, &["two words", r"and $HOST \x41"]),
            (r#"one"two three"four"#, &["onetwo threefour"]),
            (r#""$HOST" $HOST "${HOST}:80""#, &["shop.example", "$HOST", "shop.example:80"]),
            (r#""${NONE-else where}" "${HOST-x}" "${EMPTY-x}""#, &["else where", "shop.example", ""]),
            (r#""${NONE}" x"#, &["", "x"]),
            (r#""\$HOST" "$.LINE""#, &["$HOST", "7"]),
            (r#""-${LIST[*]}-""#, &["-", "a", "b", "c-"]),
            (r"it\'s \'", &["it's", "'"]),
            ("a\\", &["a\\"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn joined_words_come_back() {
        let samples =
            [&["a", "b c", ""][..], &["it's \"$HOME\" \\ #"], &["\\", "'", "\r\n", "\t", "a#b", "$A"]];
        for sample in samples {
            assert_eq!(split(&joined(sample), &|_| None).unwrap().words, sample);
        }
    }

    #[test]
    fn a_comment_is_kept() {
        let line = split("daemon # in the background", &|_| None).unwrap();
        assert_eq!(line.comment.as_deref(), Some("in the background"));
        assert_eq!(split("# alone", &|_| None).unwrap().words, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_line_has_its_fault() {
        for (line, fault) in [
            (r#"a "b"#, Fault::Quote(3)),
            ("'", Fault::Quote(1)),
            (r#""${HOST""#, Fault::Brace(3)),
            (r#""${HOST+x}""#, Fault::Brace(3)),
            (r#""$1""#, Fault::Name(3)),
            (r#""$""#, Fault::Name(3)),
            (r"\x4", Fault::Hex(1)),
            (r"\xé", Fault::Hex(1)),
            (r#""${LIST[1]}""#, Fault::Expansion(8)),
            (r"\xff", Fault::Text),
        ] {
            assert_eq!(words(line), Err(fault), "{line}");
        }
        assert_eq!(words(&"a ".repeat(65)), Err(Fault::Words));
        assert_eq!(words(&"a".repeat(70_000)), Err(Fault::Long));
    }
}
