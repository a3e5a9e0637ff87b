//! A table of a document, of which a reader asks for the keys that it knows.

use std::{cell::RefCell, ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    field::Field,
    mistake::{Mistake, Mistakes},
    nearest::{listed, nearest},
    value::Value,
};

/// A table of a document. Keys that its reader has not asked for are mistakes.
#[derive(Debug)]
pub struct Table<'d> {
    /// Dotted; empty for the whole document.
    path: String,
    /// Where a missing key is reported.
    place: Range<usize>,
    entries: &'d DeTable<'d>,
    /// Keys that the reader knows.
    asked: RefCell<Vec<&'static str>>,
    /// Keys that a later version's reader will know.
    later: RefCell<Vec<&'static str>>,
    mistakes: &'d Mistakes,
}

impl<'d> Table<'d> {
    pub(crate) fn root(entries: &'d DeTable<'d>, mistakes: &'d Mistakes) -> Self {
        Self::new(String::new(), 0..0, entries, mistakes)
    }

    pub(crate) fn new(
        path: String,
        place: Range<usize>,
        entries: &'d DeTable<'d>,
        mistakes: &'d Mistakes,
    ) -> Self {
        Self { path, place, entries, asked: RefCell::default(), later: RefCell::default(), mistakes }
    }

    /// Where the table begins in the text: its header, or the whole of an inline table.
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// Reports a mistake.
    pub fn report(&self, mistake: Mistake) {
        self.mistakes.add(mistake);
    }

    /// The value of `key`, if it is there.
    pub fn take(&self, key: &'static str) -> Option<Value<'d>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        let (_, value) = self.entries.get_key_value(key)?;
        Some(Value::new(self.path_of(key), value, self.mistakes))
    }

    /// The value of `key`, which must be there; `example` is what it could be, as it would be written.
    pub fn require(&self, key: &'static str, example: &str) -> Option<Value<'d>> {
        let value = self.take(key);
        if value.is_none() {
            let title = format!("`{}` is missing", self.path_of(key));
            let place = if self.path.is_empty() { String::new() } else { format!(" in `[{}]`", self.path) };
            let help = format!("write for example `{key} = {example}`{place}");
            self.report(Mistake::new(self.place(), title, "").help(help));
        }
        value
    }

    /// Refuses `key`, which has a meaning but not in this version; `instead` says what to do. Gives whether
    /// it was there.
    pub fn later(&self, key: &'static str, instead: &str) -> bool {
        self.later.borrow_mut().push(key);
        let written = self.entries.get_key_value(key);
        if let Some((written, _)) = written {
            let title = format!("`{}` is not supported in this version", self.path_of(key));
            self.report(Mistake::new(written.span(), title, "").help(instead));
        }
        written.is_some()
    }

    /// Reads the table under `key` with `reader`; where the key is not there, an empty one.
    pub fn section<T>(&self, key: &'static str, reader: impl FnOnce(&Table<'_>) -> T) -> T {
        let empty = DeTable::new();
        let entries = self.take(key).and_then(|value| Some((value.place(), value.entries()?)));
        let (place, entries) = entries.unwrap_or((self.place(), &empty));
        let table = Table::new(self.path_of(key), place, entries, self.mistakes);
        let result = reader(&table);
        table.refuse_unknown();
        result
    }

    /// The keys of the table under `key`, in the order of the text.
    pub fn names_in(&self, key: &str) -> Vec<&'d str> {
        let Some(DeValue::Table(entries)) = self.entries.get(key).map(Spanned::get_ref) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries.keys().collect();
        names.sort_by_key(|name| name.span().start);
        names.into_iter().map(|name| name.get_ref().as_ref()).collect()
    }

    /// For each table under `key` its own key, and what `name` says in each table of its array `list`: what may be named
    /// elsewhere, before it is read.
    pub fn names_of_lists_in(&self, key: &str, list: &str, name: &str) -> Vec<(&'d str, Vec<&'d str>)> {
        let Some(DeValue::Table(entries)) = self.entries.get(key).map(Spanned::get_ref) else {
            return Vec::new();
        };
        let name_of = |item: &'d Spanned<DeValue<'d>>| match item.get_ref() {
            DeValue::Table(item) => item.get(name)?.get_ref().as_str(),
            _ => None,
        };
        let one = |own: &'d str| {
            let listed = match entries.get(own).map(Spanned::get_ref) {
                Some(DeValue::Table(one)) => one.get(list).map(Spanned::get_ref),
                _ => None,
            };
            let items = match listed {
                Some(DeValue::Array(items)) => items.iter().filter_map(name_of).collect(),
                _ => Vec::new(),
            };
            (own, items)
        };
        self.names_in(key).into_iter().map(one).collect()
    }

    /// Reads the tables under `key`, which have names of the user's choice, in the order of the text.
    /// `reader` gets each with its name.
    pub fn named_sections<T>(
        &self,
        key: &'static str,
        mut reader: impl FnMut(&str, &Table<'_>) -> T,
    ) -> Vec<T> {
        let Some(entries) = self.take(key).and_then(|value| value.entries()) else {
            return Vec::new();
        };
        let mut named: Vec<_> = entries.iter().collect();
        named.sort_by_key(|(name, _)| name.span().start);
        let read = named.into_iter().filter_map(|(name, value)| {
            let path = format!("{}.{}", self.path_of(key), bare_or_quoted(name.get_ref()));
            let value = Value::new(path, value, self.mistakes);
            value.section(|table| reader(name.get_ref(), table))
        });
        read.collect()
    }

    /// A duration, within what timers can keep.
    pub fn duration(&self, key: &'static str, default: Duration) -> Field<Duration> {
        self.field(key, default, Value::duration)
    }

    /// The same, or none at all: "0s".
    pub fn duration_or_zero(&self, key: &'static str, default: Duration) -> Field<Duration> {
        self.field(key, default, Value::duration_or_zero)
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str, default: bool) -> Field<bool> {
        self.field(key, default, Value::flag)
    }

    /// A whole number from `least` to `most`.
    pub fn number<T>(&self, key: &'static str, default: T, least: T, most: T) -> Field<T>
    where
        T: Copy + TryFrom<i64> + Into<i64>,
    {
        self.field(key, default, |value| value.number(least, most))
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &'static str, default: T, words: &[(&str, T)]) -> Field<T> {
        self.field(key, default, |value| value.choice(words))
    }

    /// What `read` makes of the value of `key`; `default` where it is not there or wrong.
    pub fn field<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> Field<T> {
        match self.take(key) {
            None => Field::default(default),
            Some(value) => match read(&value) {
                Some(read) => Field::written(read, value.place()),
                None => Field::wrong(default),
            },
        }
    }

    /// The dotted path of `key` in the whole document.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reports every key that nobody has asked for.
    pub(crate) fn refuse_unknown(&self) {
        let (asked, later) = (self.asked.borrow(), self.later.borrow());
        let known = |key: &str| asked.contains(&key) || later.contains(&key);
        for (key, _) in self.entries.iter().filter(|(key, _)| !known(key.get_ref())) {
            let unknown = bare_or_quoted(key.get_ref());
            let title = format!("unknown key `{}`", self.path_of(&unknown));
            let label = nearest(key.get_ref(), asked.iter().copied())
                .map(|meant| format!("did you mean `{meant}`?"))
                .unwrap_or_default();
            let help = format!("here belong {}", listed(asked.iter().copied(), '`').replace(" or ", " and "));
            self.report(Mistake::new(key.span(), title, label).help(help));
        }
    }
}

/// `key` as it stands in a path: in quotes where it would not stand there bare, so that no key can break a line.
fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}
