//! What is shown while a play runs: a table that is redrawn in place, or lines where there is no terminal.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    ledger::{Count, SHOPS, ShopId},
    status::Acknowledged,
};

/// Without a terminal nothing is written for at most this long, even if nothing changes.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// One shop at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) shop: ShopId,
    /// The agent's phase; without agents, whether the shop runs.
    pub(crate) state: String,
    /// Balancers that have acknowledged, of how many.
    pub(crate) acknowledged: Option<Acknowledged>,
    /// As the agent sees it.
    pub(crate) in_flight: Option<u32>,
    /// Holders of a cookie for this shop, as the proxy reports them.
    pub(crate) users: Option<u32>,
    /// How often the shop was restarted.
    pub(crate) restarts: u32,
    /// Counted by the shoppers.
    pub(crate) count: Count,
}

/// Everything at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scene {
    /// Since the first shopper came.
    pub(crate) elapsed: Duration,
    pub(crate) rows: [Row; SHOPS],
    /// All requests, also those that no shop answered.
    pub(crate) total: Count,
    pub(crate) baskets_lost: u64,
    pub(crate) orders: usize,
}

impl Scene {
    /// The table, one line each, at most 79 columns.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<8}{:<12}{:>12}{:>11}{:>7}{:>10}{:>10}{:>9}",
            "server", "state", "acknowledged", "in flight", "users", "restarts", "requests", "failures"
        )];
        for row in &self.rows {
            let acknowledged = row.acknowledged.map_or("-".to_owned(), |a| format!("{}/{}", a.count, a.of));
            lines.push(format!(
                "{:<8}{:<12}{acknowledged:>12}{:>11}{:>7}{:>10}{:>10}{:>9}",
                row.shop.name(),
                row.state,
                number(row.in_flight),
                number(row.users),
                row.restarts,
                row.count.requests,
                row.count.failures,
            ));
        }
        let Self { elapsed, total, baskets_lost, orders, .. } = self;
        lines.push(format!(
            "{:>4} s   {orders} orders, {baskets_lost} baskets lost{:>fill$}{:>9}",
            elapsed.as_secs(),
            total.requests,
            total.failures,
            fill = 70
                - format!("{:>4} s   {orders} orders, {baskets_lost} baskets lost", elapsed.as_secs()).len(),
        ));
        lines
    }

    /// All of it in one line.
    fn line(&self) -> String {
        let mut line = format!("{:>4} s", self.elapsed.as_secs());
        for row in &self.rows {
            let _ = write!(line, " | {} {}", row.shop.name(), row.state);
            if row.state != "up" {
                if let Some(Acknowledged { count, of }) = row.acknowledged {
                    let _ = write!(line, " {count}/{of} acknowledged");
                }
                if let (Some(in_flight), Some(users)) = (row.in_flight, row.users) {
                    let _ = write!(line, ", {in_flight} in flight, {users} users");
                }
            }
        }
        let Count { requests, failures } = self.total;
        let _ = write!(line, " | {requests} requests, {failures} failures");
        line
    }

    /// Whether `earlier` said the same of what a new line is worth writing for.
    fn is_no_news_after(&self, earlier: &Self) -> bool {
        let gist = |row: &Row| (row.state.clone(), row.acknowledged, row.restarts);
        self.rows.each_ref().map(gist) == earlier.rows.each_ref().map(gist)
    }
}

fn number(n: Option<u32>) -> String {
    n.map_or("-".to_owned(), |n| n.to_string())
}

/// Where scenes and sentences are shown.
#[derive(Debug)]
pub(crate) struct Screen {
    live: bool,
    shown: Option<Scene>,
    /// Lines of the table that stand at the bottom of the terminal.
    drawn: usize,
    last_line: Option<Instant>,
}

impl Screen {
    /// On a terminal a table, elsewhere lines.
    pub(crate) fn new() -> Self {
        let live = io::stdout().is_terminal();
        Self { live, shown: None, drawn: 0, last_line: None }
    }

    /// Shows `scene`.
    pub(crate) fn show(&mut self, scene: Scene) {
        if self.live {
            self.shown = Some(scene);
            self.redraw("");
            return;
        }
        let now = Instant::now();
        let changed = self.shown.as_ref().is_none_or(|shown| !scene.is_no_news_after(shown));
        let due = self.last_line.is_none_or(|last| now.duration_since(last) >= SILENCE_LIMIT);
        if changed || due {
            put(&format!("{}\n", scene.line()));
            self.last_line = Some(now);
        }
        self.shown = Some(scene);
    }

    /// Says something that stays, above the table.
    pub(crate) fn say(&mut self, text: &str) {
        if self.live { self.redraw(&format!("{text}\n")) } else { put(&format!("{text}\n")) }
    }

    /// Leaves the table where it stands; what follows comes below.
    pub(crate) fn settle(&mut self) {
        self.drawn = 0;
        self.shown = None;
        self.last_line = None;
    }

    fn redraw(&mut self, above: &str) {
        let mut text = String::new();
        if self.drawn > 0 {
            // To the table's first line, and clear from there.
            let _ = write!(text, "\x1b[{}F\x1b[J", self.drawn);
        }
        text.push_str(above);
        let lines = self.shown.as_ref().map(Scene::lines).unwrap_or_default();
        self.drawn = lines.len();
        for line in &lines {
            // A line must not wrap, or the next redrawing would begin too low.
            text.extend(["\x1b[?7l", line, "\x1b[?7h\n"]);
        }
        put(&text);
    }
}

/// Writes to stdout at once. Where nobody reads any more there is nothing to tell.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        let rows = ShopId::all().map(|shop| Row {
            shop,
            state: "restarting".to_owned(),
            acknowledged: Some(Acknowledged { count: 1, of: 1 }),
            in_flight: Some(3),
            users: Some(12),
            restarts: 1,
            count: Count { requests: 1_000_000, failures: 99_999 },
        });
        let total = Count { requests: 3_000_000, failures: 999_999 };
        Scene { elapsed: Duration::from_secs(61), rows, total, baskets_lost: 123, orders: 45_678 }
    }

    #[test]
    fn the_table_fits_a_terminal_and_its_columns_stand_under_each_other() {
        let lines = scene().lines();
        assert_eq!(lines.len(), SHOPS + 2);
        assert!(lines.iter().all(|line| line.len() == 79), "{lines:#?}");
    }

    #[test]
    fn without_an_agent_nothing_is_invented() {
        let mut scene = scene();
        scene.rows[0].acknowledged = None;
        scene.rows[0].in_flight = None;
        scene.rows[0].users = None;
        assert_eq!(scene.lines()[1].split_whitespace().nth(2), Some("-"));
        assert!(scene.line().contains("shop1 restarting | shop2 restarting 1/1 acknowledged, 3 in flight"));
    }

    #[test]
    fn more_requests_alone_are_no_news() {
        let (before, mut after) = (scene(), scene());
        after.total.requests += 1;
        after.rows[0].users = Some(7);
        assert!(after.is_no_news_after(&before));
        after.rows[0].restarts = 2;
        assert!(!after.is_no_news_after(&before));
    }
}
