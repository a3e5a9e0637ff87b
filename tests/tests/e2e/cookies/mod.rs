//! The persistence cookie: the same requests to a real HAProxy and to drain-proxy, for each mode and option. What the
//! server received, what the client got, byte for byte, and what the log says of the cookie must be the same.

mod cases;
mod echo;
mod pair;

use std::collections::BTreeMap;

use drain_tests::Place;

use self::{
    cases::{Request, SETTINGS, requests},
    pair::{Pair, Servers},
};

/// Dates change between two requests once in four seconds, at most.
const TRIES: usize = 3;

#[test]
fn cookies_are_haproxys_in_every_mode() {
    let place = Place::new("cookies");
    let [a, b, down, bare] = ["a", "b", "down", "bare"].map(echo::start);
    let servers = Servers { a, b, down, bare };
    let pair = Pair::start(&place, &servers);
    let mut wrong = Vec::new();
    let mut sent: BTreeMap<usize, String> = BTreeMap::new();
    for (index, setting) in SETTINGS.iter().enumerate() {
        for request in requests() {
            let number = sent.len();
            let said = format!("{}: {request:?}", setting.name);
            if let Err(why) = compare(&pair, index, number, &request) {
                wrong.push(format!("{said}\n{why}"));
            }
            sent.insert(number, said);
        }
    }
    let logs = pair.finish(sent.len());
    for (number, said) in &sent {
        let [haproxy, ours] = logs.each_ref().map(|log| log.get(number));
        // A file and a pipe: what comes last may be cut off, but not missing on one side only.
        if haproxy != ours {
            wrong.push(format!("{said}\nHAProxy logged {haproxy:?}, drain-proxy {ours:?}"));
        }
    }
    let shown = wrong.iter().take(12).map(String::as_str).collect::<Vec<_>>().join("\n");
    place.check(wrong.is_empty(), &format!("{} of {} wrong:\n{shown}", wrong.len(), sent.len()));
}

fn compare(pair: &Pair, index: usize, number: usize, request: &Request) -> Result<(), String> {
    let mut differing = String::new();
    for _ in 0..TRIES {
        let [haproxy, ours] = pair.ask(index, number, request);
        if haproxy == ours {
            return Ok(());
        }
        differing = format!("HAProxy:\n{haproxy}\ndrain-proxy:\n{ours}");
    }
    Err(differing)
}
