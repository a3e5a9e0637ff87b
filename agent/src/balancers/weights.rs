//! The weights that a balancer reports: how much is left without this server, and whether there are others at all.

use std::time::Duration;

use super::{Balancer, Header, State};
use crate::{clock::Moment, config::MinRemaining};

/// A total weight that was not reported for so long is not the full one any more: others were taken away for good, or
/// have other weights. Servers that are out for repair are back by then.
const FULL_HOLDS: Duration = Duration::from_hours(24);

impl Balancer {
    /// It has reported this header `at`.
    pub(super) fn weigh(&mut self, header: &Header, at: Moment) {
        let full = full_weight(header, self.told_drain);
        let last = *self.full_at.get_or_insert(at);
        if full >= self.full_weight || at.since(last) >= FULL_HOLDS {
            self.full_weight = full;
            self.full_at = Some(at);
        }
    }

    /// The weight of the others in its eyes; `None` where it does not say.
    pub fn remaining(&self) -> Option<u32> {
        remaining(self.header.as_ref()?, self.told_drain)
    }

    /// Whether too few others would remain, or do; for people.
    pub fn too_few(&self, least: MinRemaining) -> Option<String> {
        let remaining = self.remaining()?;
        let (enough, wanted) = match least {
            MinRemaining::Weight(weight) => (remaining >= weight, weight.to_string()),
            MinRemaining::Percent(percent) => (
                u64::from(remaining) * 100 >= u64::from(percent) * u64::from(self.full_weight),
                format!("{percent}% of {}", self.full_weight),
            ),
        };
        (!enough).then(|| {
            format!("{} has a weight of {remaining} left without this server, not {wanted}", self.called())
        })
    }

    /// Whether it has known no other server for as long as [`FULL_HOLDS`].
    pub fn is_alone(&self) -> bool {
        let weight = self.header.as_ref().and_then(|header| header.weight);
        weight.is_some_and(|(own, _total)| self.full_weight <= own) && self.remaining() == Some(0)
    }
}

/// The weight of the others: as long as this server takes new users, the total holds its own.
fn remaining(header: &Header, told_drain: bool) -> Option<u32> {
    let (own, total) = header.weight?;
    match header.state {
        State::Up | State::Unchecked if !told_drain => Some(total.saturating_sub(own)),
        State::Up | State::Unchecked | State::Nolb | State::Down => Some(total),
    }
}

fn full_weight(header: &Header, told_drain: bool) -> u32 {
    header.weight.map_or(0, |(own, total)| match header.state {
        State::Up | State::Unchecked if !told_drain => total,
        State::Up | State::Unchecked | State::Nolb | State::Down => total.saturating_add(own),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::balancer::tests::balancer, *};
    use crate::lifecycle::Level;

    const SOFT: Option<Level> = Some(Level::Soft);
    const HARD: Option<Level> = Some(Level::Hard);

    #[test]
    fn what_remains_is_counted_without_the_server_itself() {
        let too_few = |state: &str, least| balancer(&[(0, Some(state), None)]).too_few(least).is_some();
        assert!(too_few("UP; weight=10/10", MinRemaining::Weight(1)));
        assert!(!too_few("UP; weight=10/20", MinRemaining::Weight(10)));
        assert!(too_few("NOLB; weight=10/0", MinRemaining::Weight(1)));
        assert!(!too_few("DOWN; weight=10/30", MinRemaining::Weight(30)));
        assert!(!too_few("UP; weight=10/10", MinRemaining::Weight(0)));
        assert!(!too_few("UP", MinRemaining::Weight(1)));
        assert!(!too_few("UP; weight=10/40", MinRemaining::Percent(75)));
        assert!(too_few("UP; weight=10/40", MinRemaining::Percent(76)));
    }

    #[test]
    fn per_cent_counts_from_the_weight_that_was_there() {
        let one = balancer(&[(0, Some("UP; weight=10/40"), None), (500, Some("NOLB; weight=10/10"), SOFT)]);
        assert!(one.too_few(MinRemaining::Percent(25)).is_none());
        assert!(one.too_few(MinRemaining::Percent(26)).is_some());
    }

    #[test]
    fn a_weight_that_was_taken_away_for_good_does_not_count_for_ever() {
        const HOUR: u64 = 3_600_000;
        let too_few = |checks: &[(u64, Option<&str>, Option<Level>)]| {
            balancer(checks).too_few(MinRemaining::Percent(50)).is_some()
        };
        let (ten, four) = (Some("UP; weight=10/100"), Some("UP; weight=10/40"));
        assert!(
            too_few(&[(0, ten, None), (HOUR, four, None), (23 * HOUR, four, None)]),
            "they may come back"
        );
        assert!(!too_few(&[(0, ten, None), (HOUR, four, None), (24 * HOUR, four, None)]));
        let back = [(0, ten, None), (20 * HOUR, ten, None), (40 * HOUR, four, None)];
        assert!(too_few(&back), "they were back meanwhile");
    }

    #[test]
    fn a_server_that_no_other_was_known_beside_for_a_day_is_alone() {
        let alone = |checks: &[_]| balancer(checks).is_alone();
        let (only, of_two) = (Some("UP; weight=10/10"), Some("UP; weight=10/20"));
        assert!(alone(&[(0, only, None)]));
        assert!(alone(&[(0, only, None), (500, Some("DOWN; weight=10/0"), HARD)]));
        assert!(!alone(&[(0, of_two, None)]));
        assert!(!alone(&[(0, of_two, None), (500, only, None)]), "the other may come back");
        assert!(!alone(&[(0, Some("UP"), None)]), "it does not say");
    }
}
