//! The table at the end: what shoppers have lived through, with agents and without.

use std::{fmt::Write as _, process::ExitCode};

use crate::ledger::Verdict;

/// One play's result.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Heading of its column.
    pub(crate) name: &'static str,
    /// Shops that were restarted, counted by their processes.
    pub(crate) restarts: u32,
    /// The reckoning.
    pub(crate) verdict: Verdict,
}

/// The table of all plays, with a sentence for each kind of failure.
pub(crate) fn table(results: &[Outcome]) -> String {
    type Line = (&'static str, fn(&Outcome) -> String);
    let lines: [Line; 9] = [
        ("restarts", |r| r.restarts.to_string()),
        ("shoppers", |r| r.verdict.shoppers.to_string()),
        ("requests", |r| r.verdict.requests.to_string()),
        ("  failures", |r| r.verdict.failures.to_string()),
        ("baskets", |r| r.verdict.baskets.to_string()),
        ("  lost", |r| r.verdict.baskets_lost.to_string()),
        ("orders", |r| r.verdict.orders.to_string()),
        ("  lost", |r| r.verdict.orders_lost.to_string()),
        ("  doubled", |r| r.verdict.orders_doubled.to_string()),
    ];
    let mut text = format!("{:<20}", "");
    for result in results {
        let _ = write!(text, "{:>18}", result.name);
    }
    text.push('\n');
    for (name, value) in lines {
        let _ = write!(text, "{name:<20}");
        for result in results {
            let _ = write!(text, "{:>18}", value(result));
        }
        text.push('\n');
    }
    let _ = write!(text, "{:<20}", "slowest page");
    for result in results {
        let _ = write!(text, "{:>16.1} s", result.verdict.slowest.as_secs_f64());
    }
    text.push('\n');
    for result in results {
        for (complaint, times) in &result.verdict.complaints {
            let _ = writeln!(text, "{}: {times} × {complaint}", result.name);
        }
    }
    text
}

/// What follows from the results: the first is that with agents, which alone decides; the second, if there is
/// one, is for contrast.
pub(crate) fn sentence(results: &[Outcome]) -> (String, ExitCode) {
    let Some((with, without)) = results.split_first() else {
        return ("Nothing was played.".to_owned(), ExitCode::FAILURE);
    };
    if !with.verdict.nothing_lost() {
        return ("Something was lost although agents were there.".to_owned(), ExitCode::FAILURE);
    }
    let mut text = "With agents nobody lost anything.".to_owned();
    if without.iter().any(|outcome| outcome.verdict.nothing_lost()) {
        text.push_str(" Without agents nothing was lost either this time: that was luck.");
    }
    (text, ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    fn outcome(loses: bool) -> Outcome {
        let mut ledger = Ledger::default();
        if loses {
            ledger.basket_lost();
        }
        Outcome { name: "", restarts: 3, verdict: ledger.settle([]) }
    }

    #[test]
    fn only_losses_with_agents_decide() {
        let code = |with, without| sentence(&[outcome(with), outcome(without)]).1;
        assert_eq!(code(false, true), ExitCode::SUCCESS);
        assert_eq!(code(false, false), ExitCode::SUCCESS);
        assert_eq!(code(true, false), ExitCode::FAILURE);
        assert!(sentence(&[outcome(false), outcome(false)]).0.contains("luck"));
    }

    #[test]
    fn each_play_has_a_column_and_each_kind_of_failure_a_line() {
        let mut ledger = Ledger::default();
        ledger.failure(None, "GET /: status 503".to_owned());
        ledger.failure(None, "GET /: status 503".to_owned());
        let result = |name| Outcome { name, restarts: 3, verdict: ledger.settle([]) };
        let text = table(&[result("with agents"), result("without")]);
        assert!(text.contains("restarts                             3                 3\n"), "{text}");
        assert!(text.contains("with agents: 2 × GET /: status 503\n"), "{text}");
    }
}
