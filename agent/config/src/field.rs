//! A value that was read, and where it came from.

use std::{ops::Range, time::Duration};

use crate::{duration::written, mistake::Mistake, table::Table};

/// A value that was read from a document, or its default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field<T> {
    value: T,
    source: Source,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Source {
    /// The key was left out.
    Default,
    /// It stands at this place.
    Written(Range<usize>),
    /// What stands there is wrong and was reported; the value is the default.
    Wrong,
}

impl<T> Field<T> {
    pub(crate) fn default(value: T) -> Self {
        Self { value, source: Source::Default }
    }

    pub(crate) fn written(value: T, place: Range<usize>) -> Self {
        Self { value, source: Source::Written(place) }
    }

    pub(crate) fn wrong(value: T) -> Self {
        Self { value, source: Source::Wrong }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The value, by reference.
    pub fn as_inner(&self) -> &T {
        &self.value
    }

    /// Where the value was written; `None` where it was not, or wrongly.
    pub fn place(&self) -> Option<&Range<usize>> {
        match &self.source {
            Source::Written(place) => Some(place),
            Source::Default | Source::Wrong => None,
        }
    }

    /// Whether it can be compared with others: not where what was written is wrong.
    pub fn is_sound(&self) -> bool {
        self.source != Source::Wrong
    }
}

impl Field<Duration> {
    /// The value, which must not exceed `longer`: where it was left out, at most `longer`; where it was written
    /// and exceeds it, a mistake in `table`. `key` and `longer_key` are the two keys there.
    pub fn at_most(&self, key: &str, longer: &Self, longer_key: &str, table: &Table<'_>) -> Duration {
        let (value, most) = (self.value, longer.value);
        if let Some(place) = self.place()
            && longer.is_sound()
            && value > most
        {
            let title = format!("`{}` is longer than `{longer_key}`", table.path_of(key));
            let default = if longer.place().is_some() { "" } else { ", its default" };
            let label = format!("`{longer_key}` is {}{default}", written(most));
            table.report(
                Mistake::new(place.clone(), title, label)
                    .help(format!("shorten `{key}`, or set a longer `{longer_key}`")),
            );
        }
        value.min(most)
    }
}

impl<T: Copy> Field<T> {
    /// The value.
    pub fn copied(&self) -> T {
        self.value
    }
}
