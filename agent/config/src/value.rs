//! A value of a document, of which a reader says what it should be.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    duration::{LONGEST, SHORTEST, Unusable, parse, written},
    mistake::{Mistake, Mistakes},
    nearest::{listed, nearest},
    table::Table,
};

/// A value and its place. Each reading gives `None` where the value is not of that kind, and has reported it.
#[derive(Debug)]
pub struct Value<'d> {
    /// Dotted.
    path: String,
    written: &'d Spanned<DeValue<'d>>,
    mistakes: &'d Mistakes,
}

impl<'d> Value<'d> {
    pub(crate) fn new(path: String, written: &'d Spanned<DeValue<'d>>, mistakes: &'d Mistakes) -> Self {
        Self { path, written, mistakes }
    }

    /// Where it stands in the text.
    pub fn place(&self) -> Range<usize> {
        self.written.span()
    }

    /// Its dotted path of keys, without the places in arrays.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports that the value is wrong: ``` `PATH` MATTER ```, and beside it what was expected.
    pub fn wrong(&self, matter: &str, expected: impl Into<String>) {
        self.mistakes.add(Mistake::new(self.place(), format!("`{}` {matter}", self.path), expected));
    }

    /// Reports a mistake.
    pub fn report(&self, mistake: Mistake) {
        self.mistakes.add(mistake);
    }

    /// Whether it is a string.
    pub fn is_text(&self) -> bool {
        self.written.get_ref().is_str()
    }

    /// Whether it is `true` or `false`.
    pub fn is_flag(&self) -> bool {
        self.written.get_ref().is_bool()
    }

    /// Whether it is a whole number.
    pub fn is_number(&self) -> bool {
        self.written.get_ref().is_integer()
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        self.written.get_ref().is_array()
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.written.get_ref().is_table()
    }

    /// A string.
    pub fn string(&self) -> Option<&'d str> {
        match self.written.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.other_kind("a string"),
        }
    }

    /// A string that is not empty.
    pub fn text(&self) -> Option<&'d str> {
        let text = self.string()?;
        if text.is_empty() {
            self.wrong("is empty", "expected some text");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        match self.written.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.other_kind("`true` or `false`"),
        }
    }

    /// A whole number from `least` to `most`.
    pub fn number<T>(&self, least: T, most: T) -> Option<T>
    where
        T: Copy + TryFrom<i64> + Into<i64>,
    {
        let (least, most) = (least.into(), most.into());
        let DeValue::Integer(integer) = self.written.get_ref() else {
            return self.other_kind(&format!("a number from {least} to {most}"));
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let within = number.filter(|number| (least..=most).contains(number));
        if within.is_none() {
            self.wrong("is out of range", format!("expected a number from {least} to {most}"));
        }
        within.and_then(|number| T::try_from(number).ok())
    }

    /// A duration from [`SHORTEST`] to [`LONGEST`], or none at all: "0s".
    pub fn duration_or_zero(&self) -> Option<Duration> {
        match self.written.get_ref() {
            DeValue::String(text) if parse(text).is_ok_and(|duration| duration.is_zero()) => {
                Some(Duration::ZERO)
            }
            _ => self.duration(),
        }
    }

    /// A duration from [`SHORTEST`] to [`LONGEST`].
    pub fn duration(&self) -> Option<Duration> {
        let DeValue::String(text) = self.written.get_ref() else {
            if let DeValue::Integer(number) = self.written.get_ref() {
                self.wrong(
                    "has no unit",
                    format!(r#"expected "{number}s" for seconds, "{number}ms" for milliseconds"#),
                );
                return None;
            }
            return self.other_kind(r#"a duration such as "500ms", "30s" or "2m 30s""#);
        };
        self.duration_in(text)
    }

    /// A duration from [`SHORTEST`] to [`LONGEST`] that is `text`, a part of this value.
    pub fn duration_in(&self, text: &str) -> Option<Duration> {
        const EXPECTED: &str = r#"expected a duration such as "500ms", "30s" or "2m 30s""#;
        let (matter, expected) = match parse(text) {
            Ok(Duration::ZERO) => ("is zero", format!("expected at least {}", written(SHORTEST))),
            Ok(short) if short < SHORTEST => {
                ("is too short", format!("expected at least {}", written(SHORTEST)))
            }
            Ok(long) if long > LONGEST => ("is too long", format!("expected at most {}", written(LONGEST))),
            Ok(duration) => return Some(duration),
            Err(Unusable::TooLarge) => ("is too long", format!("expected at most {}", written(LONGEST))),
            Err(Unusable::Negative) => ("is negative", EXPECTED.to_owned()),
            Err(Unusable::Calendar) => ("has months or years, whose length varies", EXPECTED.to_owned()),
            Err(Unusable::NoUnit) => {
                ("has no unit", format!(r#"expected "{text}s" for seconds, "{text}ms" for milliseconds"#))
            }
            Err(Unusable::NoDuration) => ("is not a duration", EXPECTED.to_owned()),
        };
        self.wrong(matter, expected);
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let known = || words.iter().map(|(word, _)| *word);
        let DeValue::String(text) = self.written.get_ref() else {
            return self.other_kind(&listed(known(), '"'));
        };
        if let Some((_, meant)) = words.iter().find(|(word, _)| word == text) {
            return Some(*meant);
        }
        let hint = nearest(text, known())
            .filter(|_| words.len() > 1)
            .map(|meant| format!(r#"; did you mean "{meant}"?"#));
        let expected = format!("expected {}{}", listed(known(), '"'), hint.unwrap_or_default());
        self.wrong("has an unknown value", expected);
        None
    }

    /// An address and a port.
    pub fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let hint = match text.strip_prefix(':').or_else(|| text.strip_prefix("*:")).unwrap_or(text) {
            port if port.parse::<u16>().is_ok() => format!(r#"expected "0.0.0.0:{port}" or "[::]:{port}""#),
            _ if text.parse::<IpAddr>().is_ok() => "expected a port behind the address".to_owned(),
            _ => r#"expected an address and a port, such as "127.0.0.1:8404" or "[::1]:8404""#.to_owned(),
        };
        self.wrong("is not an address with a port", hint);
        None
    }

    /// A network; a single address is one too.
    pub fn network(&self) -> Option<IpNet> {
        let text = self.text()?;
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            None => self.wrong("is not a network", r#"expected a network such as "10.0.0.0/8" or "::1""#),
            // 10.1.2.3/8 is as likely a slip in the address as in the length: the user must say which.
            Some(network) if network.trunc() != network => {
                self.wrong("has bits set behind its length", format!(r#"expected "{}""#, network.trunc()));
                return None;
            }
            Some(_) => {}
        }
        network
    }

    /// An absolute path.
    pub fn absolute_path(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.text()?);
        if self.text()?.contains('\0') {
            self.wrong("has a NUL byte", "expected a path");
            return None;
        }
        if !path.is_absolute() {
            self.wrong("is not an absolute path", "expected a path that begins with `/`");
            return None;
        }
        Some(path)
    }

    /// The values of an array; a single value stands for an array of one.
    pub fn items(&self) -> Vec<Value<'d>> {
        match self.written.get_ref() {
            DeValue::Array(array) => {
                array.iter().map(|item| Value::new(self.path.clone(), item, self.mistakes)).collect()
            }
            _ => vec![Value::new(self.path.clone(), self.written, self.mistakes)],
        }
    }

    /// Reads each value of an array, of which a single one stands for an array of one. `None` where one of them
    /// is wrong.
    pub fn each<T>(&self, read: impl Fn(&Value<'d>) -> Option<T>) -> Option<Vec<T>> {
        // Collected first, so that every wrong one is reported.
        let read: Vec<_> = self.items().iter().map(read).collect();
        read.into_iter().collect()
    }

    /// The same for an array that must have a value and none twice.
    pub fn each_once<T: PartialEq>(&self, read: impl Fn(&Value<'d>) -> Option<T>) -> Option<Vec<T>> {
        let items = self.items();
        if items.is_empty() {
            self.wrong("is empty", "expected at least one");
            return None;
        }
        let mut seen = Vec::with_capacity(items.len());
        for item in &items {
            let value = read(item);
            if value.is_some() && seen.contains(&value) {
                item.wrong("has this value twice", "this one is the second");
                seen.push(None);
            } else {
                seen.push(value);
            }
        }
        seen.into_iter().collect()
    }

    /// Reads a table with `reader`.
    pub fn section<T>(&self, reader: impl FnOnce(&Table<'_>) -> T) -> Option<T> {
        let table = Table::new(self.path.clone(), self.place(), self.entries()?, self.mistakes);
        let result = reader(&table);
        table.refuse_unknown();
        Some(result)
    }

    /// The entries of a table.
    pub(crate) fn entries(&self) -> Option<&'d DeTable<'d>> {
        match self.written.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.other_kind("a table"),
        }
    }

    /// Reports that a value of another kind was expected.
    pub fn other_kind<T>(&self, expected: &str) -> Option<T> {
        let found = match self.written.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(true) => "`true`",
            DeValue::Boolean(false) => "`false`",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.wrong("has the wrong type", format!("expected {expected}, found {found}"));
        None
    }
}
