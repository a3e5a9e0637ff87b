//! The table of directives that people read.

use super::{
    bind,
    directives::{BEGINNINGS, DIRECTIVES, Does, Known, SECTIONS},
    server,
};

/// `proxy/DIRECTIVES.md`: every directive of HAProxy 2.6, and what becomes of it.
pub fn table() -> String {
    let mut text = String::from(INTRODUCTION);
    let counts = |wanted: &str| DIRECTIVES.iter().filter(|known| treatment(known).0 == wanted).count();
    text.push_str(&format!(
        "\nOf {} directives {} are supported, {} ignored with a warning, and {} refused.\n\n",
        DIRECTIVES.len(),
        counts("supported"),
        counts("ignored"),
        counts("refused"),
    ));
    text.push_str("| directive | in | | |\n|---|---|---|---|\n");
    for known in DIRECTIVES.iter().chain(BEGINNINGS) {
        let (what, why) = treatment(known);
        let star = if BEGINNINGS.iter().any(|other| other.name == known.name) { "*" } else { "" };
        text.push_str(&format!("| `{}{star}` | {} | {what} | {why} |\n", known.name, sections(known)));
    }
    text.push_str("\n## Keywords of `server` and `default-server`\n\n| keyword | | |\n|---|---|---|\n");
    for (name, takes) in server::KEYWORDS {
        let (what, why) = match takes {
            server::Takes::Ignored(_, "") => ("supported", ""),
            server::Takes::Ignored(_, why) => ("ignored", *why),
            server::Takes::Refused(_, why) => ("refused", *why),
            _ => ("supported", ""),
        };
        text.push_str(&format!("| `{name}` | {what} | {why} |\n"));
    }
    text.push_str("\n## Keywords of `bind`\n\n| keyword | | |\n|---|---|---|\n");
    for (name, takes) in bind::KEYWORDS {
        let (what, why) = match takes {
            bind::Takes::Ignored(_, "") => ("supported", ""),
            bind::Takes::Ignored(_, why) => ("ignored", *why),
            bind::Takes::Refused(_, why) => ("refused", *why),
            _ => ("supported", ""),
        };
        text.push_str(&format!("| `{name}` | {what} | {why} |\n"));
    }
    text.push_str("\n## Other sections\n\nAll are refused.\n\n| section | |\n|---|---|\n");
    for (name, why) in SECTIONS {
        text.push_str(&format!("| `{name}` | {why} |\n"));
    }
    text
}

const INTRODUCTION: &str = "# HAProxy's directives

What `drain-proxy -f haproxy.cfg` makes of each directive of HAProxy 2.6. This file is written by
`drain-proxy directives`, and a test compares it.

*supported*: it does what HAProxy does. *ignored*: it changes nothing, and a warning says so. *refused*: the
configuration is not used, and the message says the file, the line, why, and what to write instead.
";

fn treatment(known: &Known) -> (&'static str, &'static str) {
    match known.does {
        Does::Ignored(why) => ("ignored", why),
        Does::Refused(why) => ("refused", why),
        _ => ("supported", ""),
    }
}

fn sections(known: &Known) -> String {
    let words = [('G', "global"), ('D', "defaults"), ('F', "frontend"), ('B', "backend")];
    let words: Vec<_> = words
        .into_iter()
        .filter(|(letter, _)| known.sections.contains(*letter))
        .map(|(_, word)| word)
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_this_one() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/DIRECTIVES.md");
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(committed == table(), "write it anew: drain-proxy directives > proxy/DIRECTIVES.md");
    }
}
