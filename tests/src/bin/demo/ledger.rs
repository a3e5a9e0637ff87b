//! What the shoppers have lived through, and what follows from it. Pure counting.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

/// How many shops there are.
pub(crate) const SHOPS: usize = 3;

/// One of the shops, by its number from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ShopId(u8);

impl ShopId {
    /// The shop of this number, if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        (1..=SHOPS).contains(&usize::from(number)).then_some(Self(number))
    }

    /// All shops, in order.
    pub(crate) fn all() -> [Self; SHOPS] {
        [Self(1), Self(2), Self(3)]
    }

    /// From 1.
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// From 0, for arrays.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0) - 1
    }

    /// How people and configurations call it.
    pub(crate) fn name(self) -> String {
        format!("shop{}", self.0)
    }
}

/// Requests, and how many of them failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Count {
    /// Requests that have come to an end.
    pub(crate) requests: u64,
    /// Those without a complete answer of status 2xx.
    pub(crate) failures: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.failures += other.failures;
    }
}

/// Everything that is counted on the shoppers' side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    shops: [Count; SHOPS],
    /// Requests that no shop answered, by shoppers who did not belong to one yet.
    nowhere: Count,
    shoppers: u64,
    kept_alive: u64,
    baskets: u64,
    baskets_lost: u64,
    accepted: Vec<String>,
    slowest: Duration,
    complaints: BTreeMap<String, u64>,
}

impl Ledger {
    /// A shopper has come.
    pub(crate) fn arrival(&mut self, keeps_alive: bool) {
        self.shoppers += 1;
        self.kept_alive += u64::from(keeps_alive);
    }

    /// A request was answered completely and well by `shop`.
    pub(crate) fn success(&mut self, shop: Option<ShopId>, took: Duration) {
        *self.count(shop) += Count { requests: 1, failures: 0 };
        self.slowest = self.slowest.max(took);
    }

    /// A request failed; `shop` is the one where the shopper was before, `why` is for people.
    pub(crate) fn failure(&mut self, shop: Option<ShopId>, why: String) {
        *self.count(shop) += Count { requests: 1, failures: 1 };
        *self.complaints.entry(why).or_default() += 1;
    }

    /// A shopper has put the first thing in the basket.
    pub(crate) fn basket_begun(&mut self) {
        self.baskets += 1;
    }

    /// A shopper has not found again what was put in.
    pub(crate) fn basket_lost(&mut self) {
        self.baskets_lost += 1;
    }

    /// A shop has said that it accepted this order.
    pub(crate) fn ordered(&mut self, id: String) {
        self.accepted.push(id);
    }

    /// What was counted at `shop`.
    pub(crate) fn at(&self, shop: ShopId) -> Count {
        self.shops[shop.index()]
    }

    /// What was counted anywhere.
    pub(crate) fn total(&self) -> Count {
        let mut total = self.nowhere;
        self.shops.iter().for_each(|count| total += *count);
        total
    }

    /// Baskets lost and orders accepted so far.
    pub(crate) fn so_far(&self) -> (u64, usize) {
        (self.baskets_lost, self.accepted.len())
    }

    /// Compares the orders that shoppers were told are accepted with the shops' own files: the text of each,
    /// one order per line, its id first.
    pub(crate) fn settle<'a>(&self, order_files: impl IntoIterator<Item = &'a str>) -> Verdict {
        let mut executed: BTreeMap<&str, u64> = BTreeMap::new();
        for id in order_files.into_iter().flat_map(str::lines).filter_map(|l| l.split_whitespace().next()) {
            *executed.entry(id).or_default() += 1;
        }
        let lost = self.accepted.iter().filter(|id| !executed.contains_key(id.as_str())).count();
        let total = self.total();
        Verdict {
            shoppers: self.shoppers,
            kept_alive: self.kept_alive,
            requests: total.requests,
            failures: total.failures,
            baskets: self.baskets,
            baskets_lost: self.baskets_lost,
            orders: self.accepted.len() as u64,
            orders_lost: lost as u64,
            orders_doubled: executed.values().filter(|&&times| times > 1).count() as u64,
            slowest: self.slowest,
            complaints: self.complaints.clone(),
        }
    }

    fn count(&mut self, shop: Option<ShopId>) -> &mut Count {
        shop.map_or(&mut self.nowhere, |shop| &mut self.shops[shop.index()])
    }
}

/// The end of the reckoning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    /// Shoppers who have come.
    pub(crate) shoppers: u64,
    /// Those of them who keep their connection alive.
    pub(crate) kept_alive: u64,
    /// Requests that have come to an end.
    pub(crate) requests: u64,
    /// Those without a complete answer of status 2xx.
    pub(crate) failures: u64,
    /// Baskets that were begun.
    pub(crate) baskets: u64,
    /// Those whose owner has not found everything again.
    pub(crate) baskets_lost: u64,
    /// Orders that a shop said it accepted.
    pub(crate) orders: u64,
    /// Those that are in no shop's file.
    pub(crate) orders_lost: u64,
    /// Orders that are in the files more than once.
    pub(crate) orders_doubled: u64,
    /// The longest that a good answer took.
    pub(crate) slowest: Duration,
    /// What went wrong with the failed requests, and how often.
    pub(crate) complaints: BTreeMap<String, u64>,
}

impl Verdict {
    /// Whether no shopper was harmed.
    pub(crate) fn nothing_lost(&self) -> bool {
        [self.failures, self.baskets_lost, self.orders_lost, self.orders_doubled] == [0; 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(number: u8) -> ShopId {
        ShopId::from_number(number).unwrap()
    }

    fn ledger_with_orders(ids: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        for id in ids {
            ledger.ordered((*id).to_owned());
        }
        ledger
    }

    #[test]
    fn there_are_as_many_shops_as_numbers() {
        assert_eq!(ShopId::all().map(ShopId::index), [0, 1, 2]);
        assert_eq!(ShopId::from_number(0), None);
        assert_eq!(ShopId::from_number(4), None);
    }

    #[test]
    fn a_failure_counts_as_a_request_of_the_shop_where_the_shopper_was() {
        let mut ledger = Ledger::default();
        ledger.success(Some(shop(2)), Duration::from_millis(3));
        ledger.failure(Some(shop(2)), "status 502".to_owned());
        ledger.failure(None, "status 503".to_owned());
        assert_eq!(ledger.at(shop(2)), Count { requests: 2, failures: 1 });
        assert_eq!(ledger.at(shop(1)), Count::default());
        assert_eq!(ledger.total(), Count { requests: 3, failures: 2 });
    }

    #[test]
    fn orders_in_any_file_once_are_neither_lost_nor_doubled() {
        let verdict = ledger_with_orders(&["a", "b", "c"]).settle(["a tea,milk\n", "", "c rice\nb tea\n"]);
        assert_eq!((verdict.orders, verdict.orders_lost, verdict.orders_doubled), (3, 0, 0));
        assert!(verdict.nothing_lost());
    }

    #[test]
    fn an_accepted_order_that_is_in_no_file_is_lost() {
        let verdict = ledger_with_orders(&["a", "b"]).settle(["a tea\n", "ab tea\n"]);
        assert_eq!((verdict.orders_lost, verdict.orders_doubled), (1, 0));
        assert!(!verdict.nothing_lost());
    }

    #[test]
    fn an_order_that_two_shops_executed_is_doubled_even_if_it_was_never_confirmed() {
        let verdict = ledger_with_orders(&["a"]).settle(["a tea\nb milk\n", "b milk\n"]);
        assert_eq!((verdict.orders_lost, verdict.orders_doubled), (0, 1));
        assert!(!verdict.nothing_lost());
    }

    #[test]
    fn an_order_that_one_shop_executed_twice_is_doubled_once() {
        let verdict = ledger_with_orders(&["a"]).settle(["a tea\na tea\na tea\n"]);
        assert_eq!(verdict.orders_doubled, 1);
    }

    #[test]
    fn one_lost_basket_or_failed_request_is_a_loss() {
        let mut basket = Ledger::default();
        basket.basket_begun();
        basket.basket_lost();
        assert!(!basket.settle([]).nothing_lost());
        let mut request = Ledger::default();
        request.failure(None, "refused".to_owned());
        assert!(!request.settle([]).nothing_lost());
    }

    #[test]
    fn the_slowest_good_answer_is_remembered() {
        let mut ledger = Ledger::default();
        ledger.success(None, Duration::from_millis(30));
        ledger.success(None, Duration::from_millis(7));
        assert_eq!(ledger.settle([]).slowest, Duration::from_millis(30));
    }
}
