//! The table of directives that people read.

use crate::{
    admin::command::{COMMANDS, WITHOUT},
    rules::keywords::{ACTIONS, CONVERTERS, FETCHES, Keyword},
};

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
    let all = directives::all().map(|known| (known, "")).chain(BEGINNINGS.iter().map(|known| (known, "*")));
    for (known, star) in all {
        let (what, why) = cells(known.treatment());
        text.push_str(&format!("| `{}{star}` | {} | {what} | {why} |\n", known.name, sections(known)));
    }
    let servers = keyword::KEYWORDS.iter().map(|(name, takes)| (*name, takes.treatment()));
    keywords("`server` and `default-server`", servers, &mut text);
    keywords("`bind`", bind::KEYWORDS.iter().map(|(name, takes)| (*name, takes.treatment())), &mut text);
    let refuses = |keyword: &Keyword| match keyword.refused {
        Some(why) => Treatment::Refused(why),
        None => Treatment::Supported(keyword.but),
    };
    actions(&mut text);
    let row = |keyword: &Keyword| (keyword.name, refuses(keyword));
    let endings = "\n`path_beg` and the like stand for `path -m beg`: so do base, cook, hdr, path, shdr, url and urlp with `_beg`, `_dir`, `_dom`, `_end`, `_len`, `_reg` and `_sub`.\n";
    rows("\n## Sample fetches\n", endings, FETCHES.iter().map(row), &mut text);
    rows("\n## Converters\n", "", CONVERTERS.iter().map(row), &mut text);
    commands(&mut text);
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
fn keywords(of: &str, all: impl Iterator<Item = (&'static str, Treatment)>, text: &mut String) {
    rows(&format!("\n## Keywords of {of}\n"), "", all, text);
}

/// What rules may do, and where.
fn actions(text: &mut String) {
    text.push_str("\n## Actions\n\n| action | in | | |\n|---|---|---|---|\n");
    for action in ACTIONS {
        let directives = [('q', "http-request"), ('s', "http-response"), ('a', "http-after-response")];
        let directives: Vec<_> = directives
            .into_iter()
            .filter(|(letter, _)| action.directives.contains(*letter))
            .map(|(_, directive)| directive)
            .collect();
        let (what, why) = match action.refused {
            Some(why) => ("refused", why),
            None => ("supported", action.but),
        };
        text.push_str(&format!("| `{}` | {} | {what} | {why} |\n", action.name, directives.join(", ")));
    }
}

/// The commands of the admin socket.
fn commands(text: &mut String) {
    text.push_str("\n## Runtime commands\n\n| command | level | | |\n|---|---|---|---|\n");
    for command in COMMANDS {
        text.push_str(&format!(
            "| `{}` | {} | supported | {} |\n",
            command.words.join(" "),
            command.level.word(),
            command.help
        ));
    }
    for (words, why) in WITHOUT {
        text.push_str(&format!("| `{words}` | | refused | {why} |\n"));
    }
}

fn rows(
    title: &str,
    introduction: &str,
    all: impl Iterator<Item = (&'static str, Treatment)>,
    text: &mut String,
) {
    text.push_str(&format!("{title}{introduction}\n| keyword | | |\n|---|---|---|\n"));
    for (name, treatment) in all {
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
