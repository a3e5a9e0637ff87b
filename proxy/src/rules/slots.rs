//! Values that rules and heads leave for the log, each at the place that is declared for it (HAProxy: `capture`).

use crate::{config::Capture, http1::Fields};

/// The values of a request and those of its response.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Slots {
    pub(crate) request: Values,
    pub(crate) response: Values,
}

/// Values, in the order of the configuration; of one that is not there an empty one.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Values {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Values {
    /// None of so many is there.
    pub(crate) fn absent(count: usize) -> Self {
        Self { bytes: Vec::new(), ends: vec![0; count] }
    }

    /// The last field of each name, cut to what there is room for.
    pub(crate) fn of(captures: &[Capture], fields: &Fields<'_, '_>) -> Self {
        let mut values = Self { bytes: Vec::new(), ends: Vec::with_capacity(captures.len()) };
        for capture in captures {
            let value = fields.last(capture.name.as_bytes()).unwrap_or_default();
            values.bytes.extend_from_slice(&value[..value.len().min(capture.length)]);
            values.ends.push(values.bytes.len());
        }
        values
    }

    /// None is asked for.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).filter_map(|place| self.value(place))
    }

    /// The value of this place, if there is such a place.
    pub(crate) fn value(&self, place: usize) -> Option<&[u8]> {
        let begin = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        Some(&self.bytes[begin..*self.ends.get(place)?])
    }

    /// This stands there from now on.
    pub(super) fn set(&mut self, place: usize, value: &[u8]) {
        let Some(before) = self.value(place).map(<[u8]>::len) else { return };
        let end = self.ends[place];
        self.bytes.splice(end - before..end, value.iter().copied());
        for end in &mut self.ends[place..] {
            *end = *end + value.len() - before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_set_among_others() {
        let mut values = Values::absent(3);
        let texts = |values: &Values| {
            let texts = values.iter().map(|value| String::from_utf8_lossy(value).into_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(texts(&values), ["", "", ""]);
        values.set(1, b"two");
        values.set(0, b"one");
        values.set(2, b"three");
        values.set(1, b"");
        values.set(0, b"first");
        values.set(3, b"nowhere");
        assert_eq!(texts(&values), ["first", "", "three"]);
        assert_eq!((values.value(2), values.value(3)), (Some(&b"three"[..]), None));
    }
}
