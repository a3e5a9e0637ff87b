//! The table of directives that people read.

use super::{
    bind,
    directives::{self, BEGINNINGS, Known, SECTIONS, Treatment},
    keyword,
};

/// `proxy/DIRECTIVES.md`: every directive of HAProxy 2.6, and what becomes of it.
pub fn table() -> String {
    let mut text = String::from(INTRODUCTION);
    let words = directives::all().map(|known| cells(known.treatment()).0);
    let words: Vec<_> = words.collect();
    let count = |wanted: &str| words.iter().filter(|word| **word == wanted).count();
    text.push_str(&format!(
        "\nOf {} directives {} are supported, {} ignored with a warning, and {} refused.\n\n",
        words.len(),
        count("supported"),
        count("ignored"),
        count("refused"),
    ));
    text.push_str("| directive | in | | |\n|---|---|---|---|\n");
    let rows = directives::all().map(|known| (known, "")).chain(BEGINNINGS.iter().map(|known| (known, "*")));
    for (known, star) in rows {
        let (what, why) = cells(known.treatment());
        text.push_str(&format!("| `{}{star}` | {} | {what} | {why} |\n", known.name, sections(known)));
    }
    let servers = keyword::KEYWORDS.iter().map(|(name, takes)| (*name, takes.treatment()));
    keywords("`server` and `default-server`", servers, &mut text);
    keywords("`bind`", bind::KEYWORDS.iter().map(|(name, takes)| (*name, takes.treatment())), &mut text);
    text.push_str(
        "\n## Other sections\n\n`http-errors` is supported; these are refused.\n\n| section | |\n|---|---|\n",
    );
    for (name, why) in SECTIONS {
        text.push_str(&format!("| `{name}` | {why} |\n"));
    }
    text
}

const INTRODUCTION: &str = "# HAProxy's directives

What `drain-proxy -f haproxy.cfg` makes of each directive of HAProxy 2.6. This file is written by
`drain-proxy directives`, and a test compares it.

*supported*: it does what HAProxy does, but for what stands beside it. *ignored*: it changes nothing, and a warning says so. *refused*: the
configuration is not used, and the message says the file, the line, why, and what to write instead.
";

/// The keywords of a directive.
fn keywords(of: &str, rows: impl Iterator<Item = (&'static str, Treatment)>, text: &mut String) {
    text.push_str(&format!("\n## Keywords of {of}\n\n| keyword | | |\n|---|---|---|\n"));
    for (name, treatment) in rows {
        let (what, why) = cells(treatment);
        text.push_str(&format!("| `{name}` | {what} | {why} |\n"));
    }
}

const fn cells(treatment: Treatment) -> (&'static str, &'static str) {
    match treatment {
        Treatment::Supported(but) => ("supported", but),
        Treatment::Ignored(why) => ("ignored", why),
        Treatment::Refused(why) => ("refused", why),
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
