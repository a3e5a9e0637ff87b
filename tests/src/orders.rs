//! Orders: what users were told, against what the shops wrote down.

use std::collections::HashMap;

/// What tells one order from every other.
pub type Id = String;

/// The differences between orders that users placed and orders that shops took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// Confirmed to the user, and in no shop's file.
    pub missing: Vec<Id>,
    /// In the files more than once.
    pub doubled: Vec<Id>,
    /// In a file, and never placed.
    pub invented: Vec<Id>,
}

impl Difference {
    /// Compares orders: `confirmed` were answered with success, `unanswered` were sent and not answered, so
    /// they may stand in a file once or not at all; `taken` is what all files hold together.
    pub fn between<'a>(
        confirmed: impl IntoIterator<Item = &'a Id>,
        unanswered: impl IntoIterator<Item = &'a Id>,
        taken: impl IntoIterator<Item = Id>,
    ) -> Self {
        let mut times: HashMap<Id, u32> = HashMap::new();
        for id in taken {
            *times.entry(id).or_default() += 1;
        }
        let doubled = times.iter().filter(|&(_, &n)| n > 1).map(|(id, _)| id.clone()).collect();
        let missing = confirmed.into_iter().filter(|&id| times.remove(id).is_none()).cloned().collect();
        for id in unanswered {
            times.remove(id);
        }
        Self { missing, doubled, invented: times.into_keys().collect() }
    }

    /// Whether every confirmed order is there once, and nothing else.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<Id> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn equal_lists_have_no_difference() {
        assert!(Difference::between(&ids("a b"), &ids(""), ids("b a")).is_none());
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let found = Difference::between(&ids("a b"), &ids("c"), ids("b b x"));
        let wanted = Difference { missing: ids("a"), doubled: ids("b"), invented: ids("x") };
        assert_eq!(found, wanted);
    }

    #[test]
    fn an_unanswered_order_may_have_been_taken_once() {
        assert!(Difference::between(&ids("a"), &ids("b c"), ids("a b")).is_none());
        assert_eq!(Difference::between(&ids(""), &ids("b"), ids("b b")).doubled, ids("b"));
    }
}
