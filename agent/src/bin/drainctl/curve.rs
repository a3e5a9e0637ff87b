//! Traffic over time, drawn in the terminal.

use std::io::{self, IsTerminal};

use drain_agent::{
    lifecycle::Stage,
    report::{Record, Sample},
};

use crate::{history::letter, show::span};

/// Rows of a curve: enough to tell eight levels of eight parts, and two of them fit on a screen.
const ROWS: usize = 6;

/// For a terminal that does not tell its width, and for what is no terminal.
const COLUMNS: usize = 80;

/// The widest: a record has no more samples than this is worth.
const COLUMNS_MOST: usize = 160;

/// Parts of a cell, from below.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a curve shows of a sample; nothing where it was unknown.
type Of = fn(&Sample) -> Option<u32>;

/// What it is drawn on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paper {
    columns: usize,
    /// It shows block characters.
    blocks: bool,
}

impl Paper {
    /// What standard output is.
    pub(crate) fn of_stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self::plain();
        }
        let width = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        let columns = if width == 0 { COLUMNS } else { width.min(COLUMNS_MOST) };
        Self { columns, blocks: true }
    }

    /// No terminal: nothing but ASCII.
    pub(crate) const fn plain() -> Self {
        Self { columns: COLUMNS, blocks: false }
    }
}

/// The curves of a record, as far as it has samples.
pub(crate) fn curves(record: &Record, paper: Paper) -> String {
    let [first, .., last] = record.traffic.as_slice() else { return String::new() };
    let (start, end) = (first.at.min(0.0), last.at.max(record.ended_at.unwrap_or(0.0)));
    if end <= start {
        return String::new();
    }
    let series: [(&str, Of); 3] = [
        ("in flight", |sample| sample.in_flight),
        ("idle", |sample| sample.idle),
        ("users", |sample| sample.users),
    ];
    let most = |of: Of| record.traffic.iter().filter_map(of).max();
    let labels = series.iter().filter_map(|(_, of)| most(*of)).map(|most| most.to_string().len()).max();
    let Some(label) = labels else { return "\nthe traffic was unknown all the time\n".to_owned() };
    let columns = paper.columns.saturating_sub(label + 3).max(10);
    let grid = Grid { start, end, columns, label };
    let mut out = String::new();
    for (name, of) in series {
        // A series that is never anything tells nothing; but that nothing was in flight is worth saying.
        let Some(most) = most(of).filter(|most| *most > 0 || name == "in flight") else { continue };
        out.push_str(&format!("\n{name}, at most {most}\n"));
        out.push_str(&grid.draw(&record.traffic, of, most, paper.blocks));
    }
    out.push_str(&grid.stages(record));
    out
}

/// Where the columns lie in time.
struct Grid {
    start: f64,
    end: f64,
    columns: usize,
    /// The width of the numbers at the left.
    label: usize,
}

impl Grid {
    /// When the column begins.
    fn at(&self, column: usize) -> f64 {
        self.start + (self.end - self.start) * column as f64 / self.columns as f64
    }

    /// The most in each column; what was seen before holds until something else is seen. `None` is unknown.
    fn values(&self, samples: &[Sample], of: Of) -> Vec<Option<u32>> {
        let mut held = None;
        let mut next = 0;
        let mut values = Vec::with_capacity(self.columns);
        for column in 0..self.columns {
            let until = self.at(column + 1);
            let mut value = held;
            let mut fresh = false;
            while let Some(sample) = samples.get(next)
                && (sample.at < until || column + 1 == self.columns)
            {
                held = of(sample);
                value = if fresh { value.max(held) } else { held };
                fresh = true;
                next += 1;
            }
            values.push(value);
        }
        values
    }

    fn draw(&self, samples: &[Sample], of: Of, most: u32, blocks: bool) -> String {
        let values = self.values(samples, of);
        let mut out = String::new();
        for row in (0..ROWS).rev() {
            let mark = match row {
                row if row == ROWS - 1 => most.to_string(),
                0 => "0".to_owned(),
                _ => String::new(),
            };
            let cells: String = values.iter().map(|value| cell(*value, most, row, blocks)).collect();
            let edge = if blocks { '│' } else { '|' };
            out.push_str(format!("{mark:>width$} {edge}{cells}", width = self.label).trim_end());
            out.push('\n');
        }
        out
    }

    /// The stage under each column, and the times at both ends.
    fn stages(&self, record: &Record) -> String {
        let stage = |at: f64| {
            let entered = record.steps.iter().rev().find(|step| step.at <= at);
            entered.map_or(Stage::Up, |step| step.to)
        };
        let letters: String = (0..self.columns).map(|column| letter(stage(self.at(column)))).collect();
        let margin = self.label + 2;
        let (from, to) = ("0s", span(self.end));
        let room = self.columns.saturating_sub(from.len());
        format!(
            "{:margin$}{letters}\n{:margin$}{from}{to:>room$}\n{:margin$}s soft, h hard, r restarting, w warming, \
             u up, f failed, - waiting\n",
            "", "", ""
        )
    }
}

/// The cell of a value in a row.
fn cell(value: Option<u32>, most: u32, row: usize, blocks: bool) -> char {
    let Some(value) = value else { return if row == 0 { '?' } else { ' ' } };
    let parts = u64::from(value) * (ROWS * 8) as u64;
    let parts = parts.div_ceil(u64::from(most.max(1))) as usize;
    let filled = parts.saturating_sub(row * 8).min(8);
    match (blocks, filled) {
        (true, filled) => BLOCKS[filled],
        (false, 0) => ' ',
        (false, 1..=3) => '.',
        (false, _) => '#',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::record;

    #[test]
    fn a_curve_shows_the_traffic_over_the_stages() {
        let shown = curves(&record(), Paper { columns: 24, blocks: true });
        let expected = "
in flight, at most 8
 8 │███
   │███▄▄▄▄▄▄
   │█████████
   │███████████████▂
   │████████████████
 0 │████████████████
";
        assert!(shown.starts_with(expected), "\n{shown}");
        assert!(shown.contains("\nidle, at most 2\n") && shown.contains("\nusers, at most 16\n"), "{shown}");
        let stages = "
    sssssssshhhhhhhhrrw
    0s              20s
    s soft, h hard, r restarting, w warming, u up, f failed, - waiting
";
        assert!(shown.ends_with(stages), "\n{shown}");
    }

    #[test]
    fn what_is_no_terminal_gets_ascii() {
        let shown = curves(&record(), Paper::plain());
        assert!(shown.is_ascii(), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= COLUMNS), "{shown}");
    }

    #[test]
    fn the_unknown_is_not_drawn_as_zero() {
        let mut record = record();
        for sample in &mut record.traffic[1..3] {
            sample.in_flight = None;
        }
        assert!(
            curves(&record, Paper::plain())
                .lines()
                .any(|line| line.starts_with(" 0 |") && line.contains("??"))
        );
    }

    #[test]
    fn without_samples_there_is_nothing_to_draw() {
        let mut record = record();
        record.traffic.truncate(1);
        assert_eq!(curves(&record, Paper::plain()), "");
    }

    #[test]
    fn a_peak_between_columns_is_seen() {
        let mut record = record();
        let peak = Sample { in_flight: Some(99), at: 4.001, ..record.traffic[1] };
        record.traffic.insert(2, peak);
        assert!(curves(&record, Paper { columns: 20, blocks: true }).contains("at most 99\n99 │"));
        let grid = Grid { start: 0.0, end: 20.0, columns: 5, label: 1 };
        assert_eq!(grid.values(&record.traffic, |sample| sample.in_flight)[1], Some(99));
    }
}
