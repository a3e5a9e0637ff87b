//! A whole document: a file, or what the command line says in its place.

use std::{borrow::Cow, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    mistake::{Invalid, Mistake, Mistakes},
    table::Table,
};

/// A configuration of ten thousand servers has about 2 MB; more is a wrong path (`/dev/zero`).
const LARGEST_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A parsed document and its text.
#[derive(Debug)]
pub struct Document<'a> {
    name: &'a str,
    text: &'a str,
    root: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// The text of the file at `path`.
    ///
    /// # Errors
    /// It can't be read, is longer than any configuration, or is not UTF-8.
    pub fn text_of(path: &Path) -> std::io::Result<String> {
        use std::io::{Error, ErrorKind, Read};
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(LARGEST_FILE_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST_FILE_BYTES {
            return Err(Error::new(
                ErrorKind::FileTooLarge,
                format!("it has more than {LARGEST_FILE_BYTES} bytes, and is surely not a configuration"),
            ));
        }
        Ok(text)
    }

    /// Parses `text`; `name` is what stands before line and column in messages.
    ///
    /// # Errors
    /// It is not TOML; all places where it is not are named.
    pub fn parse(name: &'a str, text: &'a str) -> Result<Self, Invalid> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { name, text, root: root.into_inner() });
        }
        let mistakes = errors
            .iter()
            .map(|e| Mistake::new(e.span().unwrap_or(0..0), "this is not TOML", e.message()))
            .collect();
        Err(Invalid::new(name, text, mistakes))
    }

    /// A document made of values that stand elsewhere: `entries` has for each its path of keys, its place in
    /// `text`, and itself.
    pub fn assemble(
        name: &'a str,
        text: &'a str,
        entries: impl IntoIterator<Item = (&'a [&'a str], Range<usize>, Literal<'a>)>,
    ) -> Self {
        let mut root = DeTable::new();
        for (path, place, literal) in entries {
            if let Some((last, sections)) = path.split_last() {
                let table = sections.iter().fold(&mut root, |table, key| subtable(table, key, &place));
                let key = Spanned::new(place.clone(), (*last).into());
                table.insert(key, Spanned::new(place, literal.0));
            }
        }
        Self { name, text, root }
    }

    /// Reads the whole document with `reader`.
    ///
    /// # Errors
    /// Something in it is wrong: then every mistake that was found is in the error.
    pub fn read<T>(&self, reader: impl FnOnce(&Table<'_>) -> Option<T>) -> Result<T, Invalid> {
        let mistakes = Mistakes::default();
        let root = Table::root(&self.root, &mistakes);
        let result = reader(&root);
        root.refuse_unknown();
        drop(root);
        let mistakes = mistakes.into_vec();
        match result {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(Invalid::new(self.name, self.text, mistakes)),
        }
    }
}

/// A value that does not stand in a TOML file.
#[derive(Clone, Debug)]
pub struct Literal<'a>(DeValue<'a>);

impl<'a> Literal<'a> {
    /// A string.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self(DeValue::String(text.into()))
    }

    /// A number where `text` is one, else a string.
    pub fn number_or_text(text: &'a str) -> Self {
        match DeValue::parse(text).map(Spanned::into_inner) {
            Ok(number @ DeValue::Integer(_)) => Self(number),
            _ => Self::text(text),
        }
    }

    /// Values, each with its place in the text.
    pub fn array(items: impl IntoIterator<Item = (Range<usize>, Self)>) -> Self {
        Self(DeValue::Array(items.into_iter().map(|(place, item)| Spanned::new(place, item.0)).collect()))
    }
}

/// The table under `key` in `table`, made where it isn't there.
fn subtable<'t, 'a>(table: &'t mut DeTable<'a>, key: &'a str, place: &Range<usize>) -> &'t mut DeTable<'a> {
    let entry = table
        .entry(Spanned::new(place.clone(), key.into()))
        .or_insert_with(|| Spanned::new(place.clone(), DeValue::Table(DeTable::new())));
    if !matches!(entry.get_ref(), DeValue::Table(_)) {
        *entry = Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
    }
    match entry.get_mut() {
        DeValue::Table(table) => table,
        _ => unreachable!("it was made a table above"),
    }
}
