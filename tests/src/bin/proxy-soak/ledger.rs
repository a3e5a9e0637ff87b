//! What clients asked and got, what servers executed, and what of it breaks a rule.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use drain_tests::clock;

use crate::{
    history::Trouble,
    rule::Rule,
    server::{self, Server},
};

/// So many violations are told; all are counted.
const TOLD: usize = 20;

/// How clients behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Page,
    Alone,
    Order,
    Pipelined,
    Slow,
    Aborted,
    Tunnel,
    User,
}

impl Kind {
    /// Each with its name in the table.
    pub(crate) const ALL: [(Self, &'static str); 8] = [
        (Self::Page, "GET and HEAD, kept alive"),
        (Self::Alone, "a connection per request"),
        (Self::Order, "POST and PUT"),
        (Self::Pipelined, "pipelined"),
        (Self::Slow, "slow readers"),
        (Self::Aborted, "given up in the middle"),
        (Self::Tunnel, "tunnels"),
        (Self::User, "users with a cookie"),
    ];
}

/// How a request ended for its client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// With the whole answer of the server of this name.
    Whole(String),
    /// With an error of the proxy's.
    Refused(u16),
    /// With a connection that broke.
    Broken(String),
    /// The client left before it had sent all.
    Unsent,
    /// The client left before it had the answer.
    Left,
}

/// How often each end occurred.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) whole: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) left: AtomicU64,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    pub(crate) what: &'a str,
    pub(crate) is_post: bool,
    /// The server that its cookie named.
    pub(crate) pinned: Option<&'a str>,
    pub(crate) from: Instant,
}

/// All that happened. Shared by clients and servers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    ids: AtomicU32,
    counts: [Counts; Kind::ALL.len()],
    orders: Mutex<HashMap<u32, Order>>,
    /// Servers that deliberately failed in a request.
    faults: Mutex<HashMap<u32, Vec<usize>>>,
    later: Mutex<Vec<Later>>,
    violations: Mutex<Violations>,
}

/// A POST.
#[derive(Debug, Default)]
struct Order {
    /// The servers that have executed it, as often as they have.
    executed: Vec<usize>,
    end: Option<End>,
}

/// What can be judged only when it is known how the servers were.
#[derive(Debug)]
struct Later {
    id: u32,
    from: Instant,
    until: Instant,
    what: String,
    /// The server that the user has left; `None`: the request has failed.
    moved_from: Option<String>,
}

#[derive(Debug, Default)]
struct Violations {
    counts: BTreeMap<Rule, u64>,
    told: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A number that no other request has.
    pub(crate) fn id(&self) -> u32 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn counts(&self, kind: Kind) -> &Counts {
        &self.counts[kind as usize]
    }

    /// Over all kinds: requests, and those that failed.
    pub(crate) fn totals(&self) -> [u64; 2] {
        let sum = |pick: fn(&Counts) -> u64| self.counts.iter().map(pick).sum();
        let failed =
            |counts: &Counts| counts.refused.load(Ordering::Relaxed) + counts.broken.load(Ordering::Relaxed);
        [sum(|counts| counts.requests.load(Ordering::Relaxed)), sum(failed)]
    }

    /// A server has the whole of a POST, and executes it.
    pub(crate) fn executed(&self, id: u32, server: usize) {
        lock(&self.orders).entry(id).or_default().executed.push(server);
    }

    /// POSTs that were executed.
    pub(crate) fn executions(&self) -> usize {
        lock(&self.orders).values().map(|order| order.executed.len()).sum()
    }

    /// A server fails in this request, on purpose.
    pub(crate) fn fault(&self, id: u32, server: usize) {
        lock(&self.faults).entry(id).or_default().push(server);
    }

    /// Requests in which servers failed on purpose.
    pub(crate) fn faults(&self) -> usize {
        lock(&self.faults).len()
    }

    /// A client's request has ended.
    pub(crate) fn ended(&self, ended: Ended<'_>, end: End) {
        let counts = self.counts(ended.kind);
        let count = match &end {
            End::Whole(_) => &counts.whole,
            End::Refused(_) => &counts.refused,
            End::Broken(_) => &counts.broken,
            End::Unsent | End::Left => &counts.left,
        };
        counts.requests.fetch_add(1, Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
        let moved_from = match &end {
            End::Whole(server) => ended.pinned.filter(|pinned| pinned != server),
            _ => None,
        };
        if moved_from.is_some() || matches!(end, End::Refused(_) | End::Broken(_)) {
            lock(&self.later).push(Later {
                id: ended.id,
                from: ended.from,
                until: clock::now(),
                what: format!("{}: {end:?}", ended.what),
                moved_from: moved_from.map(str::to_owned),
            });
        }
        if ended.is_post {
            lock(&self.orders).entry(ended.id).or_default().end = Some(end);
        }
    }

    /// A rule is broken.
    pub(crate) fn violation(&self, rule: Rule, detail: &str) {
        let mut violations = lock(&self.violations);
        *violations.counts.entry(rule).or_default() += 1;
        if violations.told.len() < TOLD {
            violations.told.push(format!("{}: {detail}", rule.label()));
        }
    }

    /// So far.
    pub(crate) fn violations(&self) -> u64 {
        lock(&self.violations).counts.values().sum()
    }

    /// How often a rule was broken.
    pub(crate) fn broken(&self, rule: Rule) -> u64 {
        lock(&self.violations).counts.get(&rule).copied().unwrap_or_default()
    }

    /// The first violations.
    pub(crate) fn told(&self) -> Vec<String> {
        lock(&self.violations).told.clone()
    }

    /// Users who have left their servers.
    pub(crate) fn moves(&self) -> usize {
        lock(&self.later).iter().filter(|later| later.moved_from.is_some()).count()
    }

    /// Judges what could not be judged before everything had ended.
    pub(crate) fn close(&self, servers: &[&Server], start: Instant) {
        for (id, order) in &*lock(&self.orders) {
            self.judge_order(*id, order);
        }
        let faults = lock(&self.faults);
        for later in &*lock(&self.later) {
            let faulty = faults.get(&later.id).map_or(&[][..], Vec::as_slice);
            let (rule, excused) = if let Some(name) = &later.moved_from {
                let left = servers.iter().find(|server| server.name() == name);
                let excused = left.is_some_and(|server| {
                    faulty.contains(&server.index())
                        || server.history().was(Trouble::Away, later.from, later.until)
                });
                (Rule::Moved, excused)
            } else {
                let ill = |server: &&Server| server.history().was(Trouble::Ill, later.from, later.until);
                (Rule::Failed, !faulty.is_empty() || servers.iter().any(ill))
            };
            if !excused {
                let at = |moment: Instant| moment.saturating_duration_since(start).as_secs_f64();
                let (from, until) = (at(later.from), at(later.until));
                self.violation(rule, &format!("{from:.3} s to {until:.3} s: {}", later.what));
            }
        }
    }

    fn judge_order(&self, id: u32, Order { executed, end }: &Order) {
        let by: Vec<String> = executed.iter().map(|&index| server::name(index)).collect();
        if executed.len() > 1 {
            self.violation(Rule::Doubled, &format!("{id}: by {by:?}, then {end:?}"));
        }
        let wrong = match end {
            Some(End::Whole(_)) => executed.is_empty(),
            Some(End::Refused(503) | End::Unsent) | None => !executed.is_empty(),
            Some(End::Refused(_) | End::Broken(_) | End::Left) => false,
        };
        if wrong {
            self.violation(Rule::Order, &format!("{id}: executed by {by:?}, then {end:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(id: u32) -> Ended<'static> {
        Ended { kind: Kind::Order, id, what: "POST", is_post: true, pinned: None, from: clock::now() }
    }

    #[test]
    fn orders_are_compared_with_what_servers_executed() {
        for (executed, end, doubled, wrong) in [
            (1, End::Whole("a".to_owned()), 0, 0),
            (2, End::Whole("a".to_owned()), 1, 0),
            (0, End::Whole("a".to_owned()), 0, 1),
            (0, End::Refused(503), 0, 0),
            (1, End::Refused(503), 0, 1),
            (1, End::Refused(502), 0, 0),
            (1, End::Unsent, 0, 1),
            (1, End::Left, 0, 0),
        ] {
            let ledger = Ledger::default();
            (0..executed).for_each(|_| ledger.executed(1, 0));
            ledger.ended(post(1), end.clone());
            ledger.judge_order(1, &lock(&ledger.orders)[&1]);
            let found = (ledger.broken(Rule::Doubled), ledger.broken(Rule::Order));
            assert_eq!(found, (doubled, wrong), "{executed} times, {end:?}");
        }
    }

    #[test]
    fn a_failure_with_no_server_in_trouble_has_no_excuse() {
        let ledger = Ledger::default();
        ledger.ended(post(1), End::Refused(502));
        ledger.ended(post(2), End::Refused(502));
        ledger.fault(2, 0);
        ledger.close(&[], clock::now());
        assert_eq!(ledger.broken(Rule::Failed), 1);
    }
}
