//! The figures of all rounds, and the table that is printed from them.

use std::collections::BTreeMap;

/// All figures of one kind: per peer, one value a round.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: BTreeMap<(usize, String), BTreeMap<usize, Vec<f64>>>,
    names: Vec<String>,
    order: Vec<String>,
}

impl Figures {
    /// Notes one value for the peer in the row, for instance microseconds of CPU per request.
    pub(crate) fn note(&mut self, row: &str, peer: &str, value: f64) {
        let row_at = position(&mut self.order, row);
        let peer_at = position(&mut self.names, peer);
        self.rows.entry((row_at, row.to_owned())).or_default().entry(peer_at).or_default().push(value);
    }

    /// Nothing was noted.
    pub(crate) const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Medians as a Markdown table; behind each value its ratio to `base` in the same rounds.
    ///
    /// The ratio is the median of the rounds' ratios, not the ratio of medians: a machine whose speed drifts
    /// moves both sides of one round alike.
    pub(crate) fn markdown(&self, base: &str) -> String {
        let base_at = self.names.iter().position(|n| n == base);
        let mut out = format!("| |{}\n|---|{}\n", cells(&self.names), "---|".repeat(self.names.len()));
        for ((_, row), peers) in &self.rows {
            let line: Vec<String> = (0..self.names.len())
                .map(|at| {
                    let Some(values) = peers.get(&at) else { return "–".to_owned() };
                    if values.iter().any(|value| value.is_nan()) {
                        return "failed".to_owned();
                    }
                    let value = median(values.clone());
                    let base = base_at.filter(|&b| b != at).and_then(|b| peers.get(&b));
                    match base.filter(|of| of.iter().all(|value| value.is_finite())) {
                        Some(of) => {
                            let ratios = values.iter().zip(of).map(|(a, b)| a / b).collect();
                            format!("{} ({:.2})", number(value), median(ratios))
                        }
                        None => number(value),
                    }
                })
                .collect();
            out += &format!("| {row} |{}\n", cells(&line));
        }
        out
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The index of `name` in the list, which gets it where it is new.
fn position(list: &mut Vec<String>, name: &str) -> usize {
    list.iter().position(|n| n == name).unwrap_or_else(|| {
        list.push(name.to_owned());
        list.len() - 1
    })
}

fn cells(values: &[String]) -> String {
    values.iter().map(|v| format!(" {v} |")).collect()
}

/// The middle value; zero of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_of_the_same_rounds_are_printed() {
        let mut figures = Figures::default();
        for (ours, theirs) in [(1.0, 2.0), (10.0, 10.0), (3.0, 6.0)] {
            figures.note("100 B", "ours", ours);
            figures.note("100 B", "theirs", theirs);
        }
        assert_eq!(
            figures.markdown("theirs"),
            "| | ours | theirs |\n|---|---|---|\n| 100 B | 3.00 (0.50) | 6.00 |\n"
        );
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
