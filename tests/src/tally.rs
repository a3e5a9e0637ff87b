//! What a load's users saw.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{
    orders::{Difference, Id},
    place::Place,
};

/// What kind of user somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Habit {
    /// Keeps the persistence cookie that the balancer sets.
    pub keeps_cookie: bool,
    /// Sends all requests of a session on one connection.
    pub keeps_alive: bool,
    /// Places orders (POST); else only looks at pages (GET).
    pub orders: bool,
}

impl Habit {
    /// Every kind.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for bits in 0..8_u8 {
            all.push(Self { keeps_cookie: bits & 1 != 0, keeps_alive: bits & 2 != 0, orders: bits & 4 != 0 });
        }
        all
    }
}

/// A complete and right answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// The server, by its `X-Server`.
    pub by: String,
}

/// One request of one user.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When it was sent, since 1970.
    pub at: Duration,
    /// How long its answer took.
    pub took: Duration,
    /// The session it belongs to.
    pub session: u64,
    /// Its user's habit.
    pub habit: Habit,
    /// The page.
    pub path: &'static str,
    /// The order that it placed.
    pub order: Option<Id>,
    /// The persistence cookie that it carried.
    pub cookie: Option<String>,
    /// Who answered, or what was wrong.
    pub outcome: Result<Served, String>,
}

/// A user with a cookie who was answered by another server than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// The session.
    pub session: u64,
    /// When the request that was answered elsewhere was sent, since 1970.
    pub at: Duration,
    /// How long its answer took.
    pub took: Duration,
    /// The server before.
    pub from: String,
    /// The server after.
    pub to: String,
}

/// All visits of a load.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    visits: Vec<Visit>,
}

impl Tally {
    /// Of these visits.
    pub fn new(visits: Vec<Visit>) -> Self {
        Self { visits }
    }

    /// Every visit, in the order of their ends.
    pub fn visits(&self) -> &[Visit] {
        &self.visits
    }

    /// The visits that were not answered completely and rightly.
    pub fn failures(&self) -> Vec<&Visit> {
        self.visits.iter().filter(|v| v.outcome.is_err()).collect()
    }

    /// Fails the test unless every request was answered completely and rightly, and every order stands once
    /// in the files of `taken`.
    #[track_caller]
    pub fn assert_nobody_hurt(&self, place: &Place, taken: impl IntoIterator<Item = Id>) {
        let failures = self.failures();
        let difference = self.compare_orders(taken);
        if failures.is_empty() && difference.is_none() && !self.visits.is_empty() {
            return;
        }
        let mut text = format!("users were hurt: {}\n{difference:?}\n", self.summary());
        for visit in failures.iter().take(20) {
            let _ = writeln!(text, "{visit:?}");
        }
        place.fail(&text);
    }

    /// Compares the orders that users placed with those that the shops took.
    pub fn compare_orders(&self, taken: impl IntoIterator<Item = Id>) -> Difference {
        let orders = |answered: bool| {
            self.visits.iter().filter(move |v| v.outcome.is_ok() == answered).filter_map(|v| v.order.as_ref())
        };
        Difference::between(orders(true), orders(false), taken)
    }

    /// Every time that a user with a cookie was answered by another server than before.
    pub fn moves(&self) -> Vec<Move> {
        let mut last: BTreeMap<u64, &str> = BTreeMap::new();
        let mut moves = Vec::new();
        for visit in self.visits.iter().filter(|v| v.habit.keeps_cookie) {
            let Ok(served) = &visit.outcome else { continue };
            if let Some(from) = last.insert(visit.session, &served.by)
                && from != served.by
            {
                let (from, to) = (from.to_owned(), served.by.clone());
                moves.push(Move { session: visit.session, at: visit.at, took: visit.took, from, to });
            }
        }
        moves
    }

    /// The visits without a cookie that this server answered and that were sent between these times.
    pub fn new_users_on(&self, server: &str, from: Duration, until: Duration) -> Vec<&Visit> {
        self.visits
            .iter()
            .filter(|v| v.cookie.is_none() && (from..until).contains(&v.at))
            .filter(|v| v.outcome.as_ref().is_ok_and(|s| s.by == server))
            .collect()
    }

    /// How many requests each server answered rightly.
    pub fn served(&self) -> BTreeMap<&str, usize> {
        let mut served = BTreeMap::new();
        for visit in &self.visits {
            if let Ok(Served { by }) = &visit.outcome {
                *served.entry(by.as_str()).or_default() += 1;
            }
        }
        served
    }

    /// One line.
    pub fn summary(&self) -> String {
        let orders = self.visits.iter().filter(|v| v.order.is_some()).count();
        format!(
            "{} requests ({orders} orders), {} failed, {} moves; served by {:?}",
            self.visits.len(),
            self.failures().len(),
            self.moves().len(),
            self.served()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(session: u64, by: &str) -> Visit {
        Visit {
            at: Duration::from_secs(session),
            took: Duration::ZERO,
            session,
            habit: Habit { keeps_cookie: true, keeps_alive: false, orders: false },
            path: "/",
            order: None,
            cookie: None,
            outcome: if by.is_empty() { Err("lost".to_owned()) } else { Ok(Served { by: by.to_owned() }) },
        }
    }

    #[test]
    fn a_user_who_stays_has_not_moved() {
        let tally = Tally::new(vec![visit(1, "a"), visit(2, "b"), visit(1, "a"), visit(2, "b")]);
        assert_eq!(tally.moves(), []);
    }

    #[test]
    fn a_user_who_is_answered_elsewhere_has_moved() {
        let tally = Tally::new(vec![visit(1, "a"), visit(1, ""), visit(1, "b")]);
        assert_eq!(tally.moves().len(), 1);
        assert_eq!(tally.failures().len(), 1);
    }
}
