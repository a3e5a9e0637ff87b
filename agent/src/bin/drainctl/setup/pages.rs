//! The page of a server that says that it is ready.

use std::{net::SocketAddr, time::Duration};

use drain_agent::{fetch::Fetch, traffic::sockets::Own};
use tokio::{net::TcpStream, time};

/// Where applications have theirs, the most telling first.
const PAGES: [&str; 7] = ["/health", "/healthz", "/readyz", "/ready", "/up", "/ping", "/"];

/// No application has it: whoever answers here with 2xx answers so everywhere, and then only `/` is honest.
const NO_PAGE: &str = "/drain-agent-looks-for-a-page-that-is-not-there";

/// How long a page may take: a readiness probe has as long.
const ANSWER: Duration = Duration::from_secs(2);

/// The first of these addresses that takes a connection; the first of all where none does.
pub(super) async fn reached(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    for address in addresses {
        if matches!(time::timeout(ANSWER, TcpStream::connect(address)).await, Ok(Ok(_))) {
            return Some(*address);
        }
    }
    addresses.first().copied()
}

/// The first page that answers 2xx at one of `addresses`; nothing where none does, as with TLS.
pub(super) async fn find(addresses: &[SocketAddr]) -> Option<String> {
    for address in addresses {
        let at = |page: &str| format!("http://{address}{page}");
        let answers_everywhere = is_good(&at(NO_PAGE)).await;
        for page in PAGES {
            if (page == "/" || !answers_everywhere) && is_good(&at(page)).await {
                return Some(at(page));
            }
        }
    }
    None
}

async fn is_good(url: &str) -> bool {
    let Some(fetch) = url.parse().ok().and_then(|url| Fetch::new(url, None, &Own::default()).ok()) else {
        return false;
    };
    // What its body says is not for us.
    let answer = time::timeout(ANSWER, fetch.get(0)).await;
    matches!(answer, Ok(Ok(answer)) if (200..300).contains(&answer.status))
}
