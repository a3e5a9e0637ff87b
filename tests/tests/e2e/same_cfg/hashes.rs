//! Which server a hash leads to.

use drain_tests::Place;

use super::{Differences, Twice, echo};

/// Algorithms that hash, each over servers of several weights.
const ALGORITHMS: [&str; 7] = [
    "balance source",
    "balance uri",
    "balance uri whole",
    "balance uri depth 2 len 9",
    "balance hdr(X-User)\n hash-type map-based sdbm",
    "balance hdr(Host) use_domain_only",
    "balance url_param id",
];

#[test]
fn users_are_at_the_servers_where_haproxy_has_them() {
    let place = Place::new("same_cfg_hashes");
    let mut text = String::from(
        "global\n log LOG local0\ndefaults\n mode http\n log global\n option dontlognull\n log-format \"at %s\"\n \
         timeout client 20s\n timeout connect 20s\n timeout server 20s\n",
    );
    for (number, algorithm) in ALGORITHMS.iter().enumerate() {
        text += &format!(
            "listen l{number}\n bind BIND{number}\n {algorithm}\n server a SERVER weight 6\n server b SERVER weight 2\n \
             server c SERVER weight 4\n server d SERVER weight 0\n server e SERVER weight 8 backup\n"
        );
    }
    let twice = Twice::start(&place, &text, echo());
    let mut wrong = Differences::default();
    let mut seen = Vec::new();
    for (number, algorithm) in ALGORITHMS.iter().enumerate() {
        for user in 0..12 {
            // A name without a dot counts as a whole.
            let host =
                if user < 8 { format!("www.shop{user}.example:80") } else { format!("intranet{user}:80") };
            let request = format!(
                "GET /shop/{user}/item{user}?id=u{user}&x=y HTTP/1.1\r\nHost: {host}\r\n\
                 X-User: user {user}\r\nConnection: close\r\n\r\n"
            );
            twice.answers(number, &request);
            let lines = twice.lines(&place, algorithm);
            seen.push(lines[1].trim_end().to_owned());
            wrong.compare(&format!("{algorithm} of {user}"), lines);
        }
    }
    wrong.check(&place);
    seen.sort();
    seen.dedup();
    place
        .check(seen == ["at a", "at b", "at c"], &format!("expected all that may be chosen, found {seen:?}"));
}
