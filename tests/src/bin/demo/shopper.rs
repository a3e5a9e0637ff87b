//! One shopper: comes, browses, fills a basket, thinks, orders and leaves.
//!
//! A shopper is a browser with a memory: it keeps every cookie, knows what it has put into its basket, and
//! counts what it lives through in the [`Ledger`]. Like people it tries again when a page fails, even an order.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use anyhow::{Context, Result};
use reqwest::{
    Client, Method, StatusCode,
    header::{COOKIE, HeaderMap, SET_COOKIE},
    redirect::Policy,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    ledger::{Ledger, ShopId},
    shop::{BASKET_HEADER, ITEMS, SHOP_HEADER},
};

/// No page takes as long as this; who waits longer counts it as failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a shopper asks for the same page before leaving in anger.
const TRIES: u32 = 3;
/// The pause before asking again.
const BEFORE_TRYING_AGAIN: Duration = Duration::from_millis(300);
/// The usual pause between two steps, in milliseconds.
const THINKING_MS: std::ops::Range<u64> = 200..800;
/// The long one: longer than the quiet that ends a hard drain, shorter than the one that ends a soft drain.
const PONDERING_MS: std::ops::Range<u64> = 2500..4000;
/// One in this many shoppers ponders once.
const PONDERERS: u32 = 3;

/// The longest that a shopper says nothing between two steps.
#[cfg(test)]
pub(crate) const LONGEST_THOUGHT: Duration = Duration::from_millis(PONDERING_MS.end);

/// Where shoppers go and where they report.
#[derive(Clone, Debug)]
pub(crate) struct Street {
    /// The proxy's address, as the beginning of a URL without a slash at its end.
    pub(crate) url: String,
    /// Where everything is counted.
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    /// Becomes true when everybody is to go home after the page that is being loaded.
    pub(crate) closing: watch::Receiver<bool>,
}

/// Why a visit ended before an order was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leave {
    /// Page after page failed.
    Angry,
    /// What was in the basket is gone.
    Robbed,
    /// The street closes.
    Sent,
}

/// One visit to the street by one shopper.
#[derive(Debug)]
pub(crate) struct Shopper {
    street: Street,
    client: Client,
    cookies: BTreeMap<String, String>,
    basket: Vec<&'static str>,
    shop: Option<ShopId>,
    ponders_at: Option<u32>,
    step: u32,
}

impl Shopper {
    /// A new shopper without cookies; one with `keeps_alive` uses one connection for all pages, another a
    /// fresh one for each.
    pub(crate) fn new(street: Street, keeps_alive: bool) -> Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .timeout(PATIENCE)
            .pool_max_idle_per_host(usize::from(keeps_alive))
            .build()
            .context("building a shopper's client")?;
        street.ledger.borrow_mut().arrival(keeps_alive);
        let ponders_at = (fastrand::u32(0..PONDERERS) == 0).then(|| fastrand::u32(1..5));
        Ok(Self {
            street,
            client,
            cookies: BTreeMap::new(),
            basket: Vec::new(),
            shop: None,
            ponders_at,
            step: 0,
        })
    }

    /// The whole visit.
    pub(crate) async fn visit(mut self) {
        // How it ended is in the ledger.
        let _ = self.shopping().await;
    }

    async fn shopping(&mut self) -> Result<(), Leave> {
        for _ in 0..fastrand::u32(1..=2) {
            self.load(Method::GET, "/").await?;
            self.think().await?;
        }
        for _ in 0..fastrand::u32(1..=3) {
            let item = ITEMS[fastrand::usize(..ITEMS.len())];
            let page = self.load(Method::GET, &format!("/basket/add?item={item}")).await?;
            if self.basket.is_empty() {
                self.street.ledger.borrow_mut().basket_begun();
            }
            self.basket.push(item);
            self.expect_basket(&page)?;
            self.think().await?;
        }
        let page = self.load(Method::GET, "/basket").await?;
        self.expect_basket(&page)?;
        self.think().await?;
        let order = format!("{:016x}", fastrand::u64(..));
        let page = self.load(Method::POST, &format!("/order?id={order}")).await?;
        if page.status == StatusCode::CONFLICT {
            return Err(self.robbed());
        }
        self.street.ledger.borrow_mut().ordered(order);
        self.expect_basket(&page)
    }

    async fn think(&mut self) -> Result<(), Leave> {
        self.step += 1;
        let range = if self.ponders_at == Some(self.step) { PONDERING_MS } else { THINKING_MS };
        let thought = sleep(Duration::from_millis(fastrand::u64(range)));
        tokio::select! {
            () = thought => Ok(()),
            // An error means that the street itself is gone.
            _ = self.street.closing.wait_for(|closing| *closing) => Err(Leave::Sent),
        }
    }

    /// Loads a page, again if it fails.
    async fn load(&mut self, method: Method, path: &str) -> Result<Page, Leave> {
        for attempt in 1..=TRIES {
            if *self.street.closing.borrow() {
                return Err(Leave::Sent);
            }
            let asked = Instant::now();
            match self.ask(method.clone(), path).await {
                Ok(page) => {
                    self.shop = page.shop;
                    self.street.ledger.borrow_mut().success(page.shop, asked.elapsed());
                    return Ok(page);
                }
                Err(why) => self.street.ledger.borrow_mut().failure(self.shop, why),
            }
            if attempt < TRIES {
                sleep(BEFORE_TRYING_AGAIN).await;
            }
        }
        Err(Leave::Angry)
    }

    /// Asks once. Good is a complete answer of a shop with status 2xx, or 409, which is the shop's well-formed
    /// complaint that there is nothing to order.
    async fn ask(&mut self, method: Method, path: &str) -> Result<Page, String> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let mut request = self.client.request(method, format!("{}{path}", self.street.url));
        if !self.cookies.is_empty() {
            request = request.header(COOKIE, cookie_line(&self.cookies));
        }
        let mut answer = request.send().await.map_err(|error| format!("{what}: {}", chain(&error)))?;
        let status = answer.status();
        let headers = std::mem::take(answer.headers_mut());
        answer.bytes().await.map_err(|error| format!("{what}: truncated: {}", chain(&error)))?;
        keep_cookies(&mut self.cookies, &headers);
        if !status.is_success() && status != StatusCode::CONFLICT {
            return Err(format!("{what}: status {}", status.as_u16()));
        }
        Ok(Page { status, shop: shop_in(&headers), basket: basket_in(&headers) })
    }

    /// Whether everything that was put in is still there.
    fn expect_basket(&self, page: &Page) -> Result<(), Leave> {
        if holds(&page.basket, &self.basket) { Ok(()) } else { Err(self.robbed()) }
    }

    fn robbed(&self) -> Leave {
        self.street.ledger.borrow_mut().basket_lost();
        Leave::Robbed
    }
}

/// What a shopper sees of a good answer.
#[derive(Debug)]
struct Page {
    status: StatusCode,
    shop: Option<ShopId>,
    basket: Vec<String>,
}

/// Whether `found` has everything that is `wanted`, as often as it is wanted. More may be there: a thing whose
/// page failed may have been put in all the same.
fn holds(found: &[String], wanted: &[&str]) -> bool {
    let count = |item: &str| found.iter().filter(|f| *f == item).count();
    wanted.iter().all(|item| count(item) >= wanted.iter().filter(|w| *w == item).count())
}

fn shop_in(headers: &HeaderMap) -> Option<ShopId> {
    ShopId::from_number(headers.get(SHOP_HEADER)?.to_str().ok()?.parse().ok()?)
}

fn basket_in(headers: &HeaderMap) -> Vec<String> {
    let text = headers.get(BASKET_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn cookie_line(cookies: &BTreeMap<String, String>) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// Takes over what an answer sets. Attributes don't matter here: all pages have one host and path.
fn keep_cookies(cookies: &mut BTreeMap<String, String>, headers: &HeaderMap) {
    for line in headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
        let pair = line.split(';').next().unwrap_or_default();
        if let Some((name, value)) = pair.split_once('=') {
            cookies.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
}

/// An error with its causes, without the URL, so that equal ones are counted together.
fn chain(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut cause = error.source();
    let mut last = if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() };
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(items: &[&str]) -> Vec<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn a_basket_holds_what_is_wanted_in_any_order_and_more() {
        assert!(holds(&found(&["tea", "rice", "tea"]), &["tea", "tea"]));
        assert!(holds(&found(&[]), &[]));
    }

    #[test]
    fn one_of_two_equal_things_missing_is_a_loss() {
        assert!(!holds(&found(&["tea", "rice"]), &["tea", "tea"]));
        assert!(!holds(&found(&[]), &["rice"]));
    }

    #[test]
    fn cookies_are_kept_and_replaced_by_name() {
        let mut cookies = BTreeMap::new();
        let answer = |text: &str| HeaderMap::from_iter([(SET_COOKIE, text.parse().unwrap())]);
        keep_cookies(&mut cookies, &answer("SERVERID=s1|~abc; path=/"));
        keep_cookies(&mut cookies, &answer("SHOP=1; path=/"));
        keep_cookies(&mut cookies, &answer("SERVERID=s2; path=/"));
        assert_eq!(cookie_line(&cookies), "SERVERID=s2; SHOP=1");
    }

    #[test]
    fn an_empty_basket_header_is_an_empty_basket() {
        let headers = HeaderMap::from_iter([(BASKET_HEADER.parse().unwrap(), "".parse().unwrap())]);
        assert!(basket_in(&headers).is_empty());
    }
}
