//! HAProxy's statistics where clients come in: what is asked at a frontend's own address (`stats uri`). Only to look.

use super::{
    auth::Guests,
    statistics::{Frame, content},
};
use crate::{
    admin::stats,
    clock,
    exchange::Pages,
    rules::{Asked, Reply, Statistics},
};

/// There is no other address here that could have it.
const STYLE: &str = concat!("<style>", include_str!("stats.css"), "</style>");

impl Pages for stats::Statistics {
    fn page(&self, statistics: &Statistics, asked: &Asked, of: &str) -> Reply {
        let is_guest =
            Guests::of(&statistics.auth).is_ok_and(|guests| guests.admit(asked.authorization.as_deref()));
        if !is_guest {
            return Reply::unauthorized(&statistics.realm);
        }
        if asked.is_order {
            let place = format!(
                "cache-control: no-cache\r\ncontent-type: text/plain\r\nlocation: {};st=DENY\r\n",
                statistics.uri
            );
            return Reply::page(303, place.into_bytes(), Vec::new());
        }
        let Statistics { uri, hide_version, .. } = statistics;
        let frame = Frame { uri, style: STYLE, may: false, hides_version: *hide_version };
        let shown = |name: &str| {
            let is_it = |scope: &str| if scope == "." { name == of } else { name == scope };
            statistics.scope.is_empty() || statistics.scope.iter().any(|scope| is_it(scope))
        };
        let (kind, text) = content(&self.snapshot(clock::now()), &asked.suffix, &frame, &shown);
        let mut fields = format!("cache-control: no-cache\r\ncontent-type: {kind}\r\n");
        if let Some(refresh) = statistics.refresh.filter(|_| !asked.suffix.contains(";norefresh")) {
            fields.push_str(&format!("refresh: {}\r\n", refresh.as_secs()));
        }
        Reply::page(200, fields.into_bytes(), text.into_owned().into_bytes())
    }
}
