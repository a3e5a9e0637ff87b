//! What a check wants of an answer (HAProxy: `http-check expect`).

use std::sync::Arc;

use drain_config::Value;

use super::haproxy::words;
use crate::rules::Regex;

/// What a check wants of an answer: all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expect(Vec<Wish>);

/// One of the things.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// It must not be so.
    pub negated: bool,
    /// What it is.
    pub wanted: Wanted,
}

/// What may be wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A status from, to.
    Status(Vec<(u16, u16)>),
    /// A status whose digits match.
    StatusLike(Regex),
    /// A field of such a name and, where it is said, of such a value; `whole`: a comma parts none.
    Field {
        /// What its name is like, in whatever letters.
        name: Likeness,
        /// What its value is like.
        value: Option<Likeness>,
        /// It is compared as a whole.
        whole: bool,
    },
    /// A text in the body.
    Body(Arc<str>),
    /// Something in the body that matches.
    BodyLike(Regex),
}

/// How a text is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Likeness {
    /// It is this.
    Is(Arc<str>),
    /// It begins so.
    Begins(Arc<str>),
    /// It ends so.
    Ends(Arc<str>),
    /// It has this in it.
    Has(Arc<str>),
    /// It matches.
    Like(Regex),
}

/// HAProxy's.
impl Default for Expect {
    fn default() -> Self {
        Self(vec![Wish { negated: false, wanted: Wanted::Status(vec![(200, 399)]) }])
    }
}

/// Conditions of a check at most: each answer is compared with all of them.
const MOST_WISHES: usize = 64;

const EXPECTED: &str = r#"expected such as "200", "200-299,401", "! 500-599", "string ready", "! rstring ^no" or "hdr name x-state value up""#;

impl Expect {
    /// All that is wanted, in order.
    pub fn wishes(&self) -> &[Wish] {
        &self.0
    }

    /// `"200-299"`, or an array of such.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let one = |value: &Value<'_>| {
            let wish = Wish::read(value.text()?);
            if let Err(why) = &wish {
                value.wrong("is nothing that a check can want", format!("{why}: {EXPECTED}"));
            }
            wish.ok()
        };
        if value.is_text() {
            return Some(Self(vec![one(value)?]));
        }
        let wishes = value.each(one)?;
        if wishes.is_empty() || wishes.len() > MOST_WISHES {
            value.wrong("has a wrong number of entries", format!("expected 1 to {MOST_WISHES}"));
            return None;
        }
        Some(Self(wishes))
    }
}

impl Wish {
    fn read(text: &str) -> Result<Self, String> {
        let mut words = words(text)?;
        let mut negated = false;
        while let Some(first) = words.first_mut() {
            let without = first.trim_start_matches('!');
            negated ^= (first.len() - without.len()) % 2 == 1;
            *first = without.to_owned();
            if !first.is_empty() {
                break;
            }
            words.remove(0);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is_codes =
            |word: &&str| !word.is_empty() && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'-' | b','));
        let wanted = match words.as_slice() {
            // With blanks between them.
            all if !all.is_empty() && all.iter().all(is_codes) => Wanted::Status(ranges(&all.join(" "))?),
            ["status", statuses] => Wanted::Status(ranges(statuses)?),
            ["rstatus", regex] => Wanted::StatusLike(Regex::new(regex, false)?),
            ["string", text] => Wanted::Body((*text).into()),
            ["rstring", regex] => Wanted::BodyLike(Regex::new(regex, false)?),
            [field @ ("hdr" | "fhdr"), "name", rest @ ..] => {
                let (name, rest) = Likeness::read(rest, true)?;
                let value = match rest {
                    [] => None,
                    ["value", rest @ ..] => match Likeness::read(rest, false)? {
                        (value, []) => Some(value),
                        (_, [other, ..]) => return Err(format!("'{other}' stands behind it")),
                    },
                    [other, ..] => return Err(format!("'{other}' stands behind a field's name")),
                };
                let whole = *field == "fhdr" || value.is_none();
                Wanted::Field { name, value, whole }
            }
            other => return Err(format!("'{}' is not known", other.join(" "))),
        };
        Ok(Self { negated, wanted })
    }
}

/// `200`, `200-299,401`
fn ranges(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=999).contains(status));
    let range = |text: &str| {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        Some((status(from)?, status(to)?)).filter(|(from, to)| from <= to)
    };
    text.split(',').map(range).collect::<Option<_>>().ok_or_else(|| format!("'{text}' names no statuses"))
}

impl Likeness {
    /// `[-m {str | beg | end | sub | reg}] TEXT`, and what stands behind it.
    fn read<'w, 't>(words: &'w [&'t str], ignores_case: bool) -> Result<(Self, &'w [&'t str]), String> {
        let (method, words) = match words {
            ["-m", method, rest @ ..] => (*method, rest),
            words => ("str", words),
        };
        let (text, rest) = words.split_first().ok_or("a text is missing")?;
        let own =
            || Arc::<str>::from(if ignores_case { text.to_ascii_lowercase() } else { (*text).to_owned() });
        let likeness = match method {
            "str" => Self::Is(own()),
            "beg" => Self::Begins(own()),
            "end" => Self::Ends(own()),
            "sub" => Self::Has(own()),
            "reg" => Self::Like(Regex::new(text, ignores_case)?),
            other => {
                return Err(format!(
                    "'-m' only supports 'str', 'beg', 'end', 'sub' or 'reg' (got '{other}')"
                ));
            }
        };
        Ok((likeness, rest))
    }

    /// Whether a text is like this; names are in small letters.
    pub fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Is(own) => text == own.as_bytes(),
            Self::Begins(own) => text.starts_with(own.as_bytes()),
            Self::Ends(own) => text.ends_with(own.as_bytes()),
            Self::Has(own) => memchr::memmem::find(text, own.as_bytes()).is_some(),
            Self::Like(regex) => regex.matches(text),
        }
    }
}

#[cfg(test)]
impl Expect {
    /// What these words want.
    pub(crate) fn of(texts: &[&str]) -> Self {
        Self(texts.iter().map(|text| Wish::read(text).unwrap()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_in_haproxys_words() {
        let status =
            |negated, ranges: &[(u16, u16)]| Wish { negated, wanted: Wanted::Status(ranges.to_vec()) };
        for (text, expected) in [
            ("200-299,401", status(false, &[(200, 299), (401, 401)])),
            ("200-299, 401", status(false, &[(200, 299), (401, 401)])),
            ("! 200, 401", status(true, &[(200, 200), (401, 401)])),
            ("! 500-599", status(true, &[(500, 599)])),
            ("!status 500", status(true, &[(500, 500)])),
            ("! !status 500", status(false, &[(500, 500)])),
            ("! string 'not ready'", Wish { negated: true, wanted: Wanted::Body("not ready".into()) }),
            (
                "fhdr name -m beg X-A value -m sub b",
                Wish {
                    negated: false,
                    wanted: Wanted::Field {
                        name: Likeness::Begins("x-a".into()),
                        value: Some(Likeness::Has("b".into())),
                        whole: true,
                    },
                },
            ),
        ] {
            assert_eq!(Wish::read(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "!",
            "20",
            "20 0",
            "200 401",
            "299-200",
            "status",
            "string",
            "rstring (",
            "hdr x",
            "hdr name x value",
            "hdr name -m x y",
            "nope 1",
        ] {
            assert!(Wish::read(text).is_err(), "{text}");
        }
    }
}
