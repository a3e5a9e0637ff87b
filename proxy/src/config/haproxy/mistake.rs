//! What the TOML's reader finds wrong, in the words of whoever wrote the haproxy.cfg.

use drain_config::Mistake;

/// Keys that are called otherwise in HAProxy's language, by the ends of their paths.
const WORDS: &[(&str, &str)] = &[
    ("check.address", "addr"),
    ("check.expect", "http-check expect"),
    ("check.host", "http-check send hdr Host"),
    ("check.method", "option httpchk"),
    ("check.send_state", "http-check send-state"),
    ("check.soft_drain_on", "http-check disable-on-404"),
    ("check.uri", "option httpchk"),
    ("check.version", "option httpchk"),
    ("limits.connections", "maxconn"),
    ("limits.threads", "nbthread"),
];

/// Sections, by what the TOML calls one that is lacking.
const SECTIONS: &[(&str, &str)] = &[
    ("[backend.NAME]", "a section 'backend' or 'listen'"),
    ("[frontend.NAME]", "a section 'frontend' or 'listen' with a 'bind'"),
];

/// Tables of the TOML, with which paths of keys begin.
const TABLES: [&str; 4] = ["admin.", "backend.", "frontend.", "limits."];

/// One sentence without its end. `directive` is the one that it is said of.
pub(super) fn sentence(mistake: &Mistake, directive: &str) -> String {
    let mut text = in_haproxys_words(&mistake.title, directive);
    for part in [Some(&mistake.label), mistake.help.as_ref()].into_iter().flatten() {
        if !part.is_empty() {
            text.push_str("; ");
            text.push_str(&in_haproxys_words(part, directive));
        }
    }
    text
}

/// With the paths of keys as HAProxy calls what they stand for; what the directive itself sets need not be named again.
fn in_haproxys_words(text: &str, directive: &str) -> String {
    let mut said = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        let is_path = at % 2 == 1 && TABLES.iter().any(|table| part.starts_with(table));
        if is_path {
            let word = word(part);
            if !directive.split(' ').any(|own| own == word) {
                said.push_str(&format!("'{word}'"));
            }
        } else if at % 2 == 1
            && let Some((_, section)) = SECTIONS.iter().find(|(table, _)| *table == part)
        {
            said.push_str(section);
        } else if at % 2 == 1 {
            said.push_str(&format!("`{part}`"));
        } else {
            // Behind a word that was left out.
            said.push_str(if said.is_empty() { part.trim_start() } else { part });
        }
    }
    said
}

/// What stands for the last key of a path.
fn word(path: &str) -> String {
    let own = WORDS.iter().find(|(end, _)| path.ends_with(end)).map(|(_, word)| (*word).to_owned());
    own.unwrap_or_else(|| path.rsplit('.').next().unwrap_or(path).replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_called_by_haproxys_words() {
        for (title, directive, expected) in [
            ("`backend.l.server.check.fall` is out of range", "server s2", "'fall' is out of range"),
            ("`backend.b.balance` is not known", "balance", "is not known"),
            ("`backend.b.check.soft_drain_on` is wrong", "server s", "'http-check disable-on-404' is wrong"),
            ("`frontend.f.timeout.http_request` is too long", "timeout http-request", "is too long"),
            ("write `[backend.NAME]` and more", "", "write a section 'backend' or 'listen' and more"),
            ("write `deny` alone", "http-request deny", "write `deny` alone"),
        ] {
            let mistake = Mistake::new(0..0, title.to_owned(), "");
            assert_eq!(sentence(&mistake, directive), expected);
        }
    }
}
