//! A small web shop, as naive as many: baskets live in memory, a request that is being worked on dies with the
//! process, an order that is sent twice is executed twice.
//!
//! | request | answer | takes |
//! |---|---|---|
//! | `GET /` | what there is to buy | 50 to 300 ms |
//! | `GET /basket/add?item=…` | the basket | 50 to 150 ms |
//! | `GET /basket` | the basket | at once |
//! | `POST /order?id=…` | the order is in the order file; 409 without a basket | 150 to 300 ms |
//! | `GET /health` | 200 | at once |
//!
//! Each page says in `x-shop` which shop it comes from and in `x-basket` what the basket holds. There is no
//! signal handler: SIGTERM ends the shop in the middle of everything, which is the point.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CONTENT_TYPE, COOKIE, SET_COOKIE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, time::sleep};

use crate::{ledger::ShopId, lifeline};

/// What there is to buy.
pub(crate) const ITEMS: [&str; 6] = ["tea", "coffee", "bread", "honey", "rice", "salt"];
/// The shop's own session cookie.
pub(crate) const SESSION: &str = "SHOP";
/// Header: which shop answers.
pub(crate) const SHOP_HEADER: &str = "x-shop";
/// Header: what the basket holds, separated by commas.
pub(crate) const BASKET_HEADER: &str = "x-basket";

/// How long a shop takes to start: real ones load their catalogue.
const STARTUP: Duration = Duration::from_millis(500);
/// More sessions than this are refused. Some hundred shoppers come in two minutes; a browser adds one.
const MAX_SESSIONS: usize = 10_000;
/// More things than this don't go into a basket: it must fit into a header.
const MAX_ITEMS: usize = 100;

/// What a shop is told at its start.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Premises {
    /// Which shop this is.
    #[arg(long)]
    pub(crate) number: u8,
    /// Where it listens, on 127.0.0.1.
    #[arg(long)]
    pub(crate) port: u16,
    /// The demo's directory: order file, pid file, log.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The demo's socket.
    #[arg(long)]
    pub(crate) lifeline: PathBuf,
}

impl Premises {
    /// Which shop this is.
    pub(crate) fn shop(&self) -> Result<ShopId> {
        ShopId::from_number(self.number).with_context(|| format!("there is no shop {}", self.number))
    }

    /// The same as arguments of the command line.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let values: [(&str, OsString); 4] = [
            ("--number", self.number.to_string().into()),
            ("--port", self.port.to_string().into()),
            ("--dir", self.dir.clone().into()),
            ("--lifeline", self.lifeline.clone().into()),
        ];
        values.into_iter().flat_map(|(name, value)| [name.into(), value]).collect()
    }

    /// Where accepted orders are written: one per line, its id first.
    pub(crate) fn order_file(&self) -> PathBuf {
        self.dir.join(format!("orders-{}.txt", self.number))
    }

    /// Where the number of the living process is written.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.dir.join(format!("shop{}.pid", self.number))
    }

    /// Where the shop's output goes.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.join(format!("shop{}.log", self.number))
    }
}

/// Sells until the demo is gone.
pub(crate) async fn run(premises: Premises) -> Result<()> {
    let demo_is_gone = lifeline::hold(&premises.lifeline, premises.shop()?);
    tokio::select! {
        end = demo_is_gone => end,
        end = sell(&premises) => end,
    }
}

async fn sell(premises: &Premises) -> Result<()> {
    sleep(STARTUP).await;
    let path = premises.order_file();
    let orders = OpenOptions::new().create(true).append(true).open(&path);
    let shop = Arc::new(Shop {
        number: premises.number,
        sessions: Mutex::default(),
        orders: Mutex::new(orders.with_context(|| format!("opening {}", path.display()))?),
    });
    let pages = Router::new()
        .route("/", get(front))
        .route("/basket/add", get(add))
        .route("/basket", get(look))
        .route("/order", post(order))
        .route("/health", get(health))
        .with_state(shop);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, premises.port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    axum::serve(listener, pages).await.context("serving")
}

/// What a shop holds, and loses when it ends.
#[derive(Debug)]
struct Shop {
    number: u8,
    /// Baskets by session.
    sessions: Mutex<BTreeMap<String, Vec<String>>>,
    orders: Mutex<File>,
}

impl Shop {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The visitor's session, a new one where there is none, or `None` where the shop is full.
    fn enter(&self, headers: &HeaderMap) -> Option<Visit> {
        let mut sessions = self.sessions();
        if let Some(id) = session_in(headers)
            && sessions.contains_key(id)
        {
            return Some(Visit { id: id.to_owned(), is_new: false });
        }
        (sessions.len() < MAX_SESSIONS).then(|| {
            let id = format!("{:016x}", fastrand::u64(..));
            sessions.insert(id.clone(), Vec::new());
            Visit { id, is_new: true }
        })
    }

    fn page(&self, visit: &Visit, title: &str, body: &str) -> Response {
        let basket = self.sessions().get(&visit.id).cloned().unwrap_or_default();
        let mut html =
            format!("<!doctype html><title>Shop {0}</title><h1>Shop {0}: {title}</h1>\n", self.number);
        html.push_str(body);
        html.push_str(&basket_html(&basket));
        let mut response = html.into_response();
        let headers = response.headers_mut();
        let mut put = |name, text: String| {
            // All texts are made of the shop's own words and hexadecimal numbers.
            headers.insert(name, text.parse().expect("plain words make a valid header"));
        };
        put(CONTENT_TYPE.as_str(), "text/html; charset=utf-8".to_owned());
        put(SHOP_HEADER, self.number.to_string());
        put(BASKET_HEADER, basket.join(","));
        if visit.is_new {
            put(SET_COOKIE.as_str(), format!("{SESSION}={}; path=/", visit.id));
        }
        response
    }
}

/// One visitor's session.
#[derive(Debug)]
struct Visit {
    id: String,
    is_new: bool,
}

async fn front(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    work(50..=300).await;
    let Some(visit) = shop.enter(&headers) else { return full() };
    let mut body = String::from("<ul>\n");
    for item in ITEMS {
        let _ = writeln!(body, "<li>{item} <a href=\"/basket/add?item={item}\">into the basket</a></li>");
    }
    shop.page(&visit, "what we have", &(body + "</ul>\n"))
}

async fn add(State(shop): State<Arc<Shop>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(item) = parameter(&uri, "item").and_then(|name| ITEMS.into_iter().find(|item| *item == name))
    else {
        return (StatusCode::NOT_FOUND, "there is no such thing here\n").into_response();
    };
    work(50..=150).await;
    let Some(visit) = shop.enter(&headers) else { return full() };
    if let Some(basket) = shop.sessions().get_mut(&visit.id)
        && basket.len() < MAX_ITEMS
    {
        basket.push(item.to_owned());
    }
    shop.page(&visit, "put into the basket", "<p><a href=\"/\">More</a></p>\n")
}

async fn look(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let Some(visit) = shop.enter(&headers) else { return full() };
    shop.page(&visit, "your basket", "<p><a href=\"/\">More</a></p>\n")
}

async fn order(State(shop): State<Arc<Shop>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(id) = parameter(&uri, "id").filter(|id| is_order_id(id)).map(str::to_owned) else {
        return (StatusCode::BAD_REQUEST, "an order needs an id of letters, digits and dashes\n")
            .into_response();
    };
    let Some(visit) = shop.enter(&headers) else { return full() };
    // Checking the card.
    work(75..=150).await;
    let basket = shop.sessions().get(&visit.id).cloned().unwrap_or_default();
    if basket.is_empty() {
        let mut refusal = shop.page(&visit, "there is nothing in your basket", "");
        *refusal.status_mut() = StatusCode::CONFLICT;
        return refusal;
    }
    let line = format!("{id} {}\n", basket.join(","));
    let written = shop.orders.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    if let Err(error) = written {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("writing the order: {error}\n")).into_response();
    }
    // Sending the mail. Whoever dies here has executed an order and told nobody.
    work(75..=150).await;
    let answer = shop.page(&visit, "thank you", &format!("<p>Order {id} is accepted.</p>\n"));
    shop.sessions().insert(visit.id, Vec::new());
    answer
}

async fn health() -> &'static str {
    "open\n"
}

fn full() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the shop is full\n").into_response()
}

/// Takes some of the given milliseconds.
async fn work(milliseconds: std::ops::RangeInclusive<u64>) {
    sleep(Duration::from_millis(fastrand::u64(milliseconds))).await;
}

fn basket_html(basket: &[String]) -> String {
    if basket.is_empty() {
        return "<p>Your basket is empty.</p>\n".to_owned();
    }
    format!(
        "<p>In your basket: {}.</p>\n<form method=\"post\" action=\"/order?id=browser-{:08x}\"><button>Order</button></form>\n",
        basket.join(", "),
        fastrand::u32(..)
    )
}

fn session_in(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(SESSION)?.strip_prefix('='))
}

/// A parameter of the query, as it stands there: the shop's links hold nothing that needs decoding.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn is_order_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Shop {
        Shop { number: 1, sessions: Mutex::default(), orders: Mutex::new(File::open("/dev/null").unwrap()) }
    }

    fn with_cookie(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, text.parse().unwrap())])
    }

    #[test]
    fn a_session_is_found_among_other_cookies() {
        assert_eq!(session_in(&with_cookie("SERVERID=s1; SHOP=abc; SHOPPER=x")), Some("abc"));
        assert_eq!(session_in(&with_cookie("SHOPPER=x")), None);
    }

    #[test]
    fn a_known_session_is_kept_and_an_unknown_one_replaced() {
        let shop = shop();
        let first = shop.enter(&HeaderMap::new()).unwrap();
        assert!(first.is_new);
        let again = shop.enter(&with_cookie(&format!("SHOP={}", first.id))).unwrap();
        assert!(!again.is_new && again.id == first.id);
        let stranger = shop.enter(&with_cookie("SHOP=from-before-the-restart")).unwrap();
        assert!(stranger.is_new && stranger.id != first.id);
    }

    #[test]
    fn parameters_are_matched_by_their_whole_name() {
        let uri: Uri = "/order?grid=1&id=a-1".parse().unwrap();
        assert_eq!(parameter(&uri, "id"), Some("a-1"));
        assert_eq!(parameter(&uri, "gri"), None);
    }

    #[test]
    fn an_order_id_holds_no_blank_and_no_line_end() {
        assert!(is_order_id("7-00ff"));
        assert!(!is_order_id("") && !is_order_id("a b") && !is_order_id("a%0Ab") && !is_order_id("a\nb"));
    }
}
