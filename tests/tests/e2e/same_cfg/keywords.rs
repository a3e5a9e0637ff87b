//! Every word that HAProxy knows has its row in a table of ours.

use std::{fs, process::Output};

use drain_tests::{Place, place::built};

/// What a program writes.
fn written(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The first column of the tables under a title; one that ends in `*` stands for all that begin so.
fn rows<'t>(tables: &'t str, title: &str) -> Vec<&'t str> {
    let section = tables.split("\n## ").find(|section| section.starts_with(title)).unwrap_or_default();
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

fn has(rows: &[&str], word: &str) -> bool {
    rows.iter().any(|row| {
        *row == word
            || row.starts_with(&format!("{word} "))
            || row.strip_suffix('*').is_some_and(|begin| word.starts_with(begin))
    })
}

/// Where a word of HAProxy's list has its row: the title of the table, and what stands there.
fn place_of<'l>(list: &str, line: &'l str) -> Option<(&'static str, String)> {
    let words: Vec<&'l str> = line.split_whitespace().collect();
    let first = *words.first()?;
    let name = |word: &str| word.split(['(', ':']).next().unwrap_or_default().to_owned();
    Some(match (list, first) {
        ("configuration keywords", _) if !line.starts_with('\t') => return None,
        ("configuration keywords", "bind") => {
            ("Keywords of `bind`", words.get(if words[2] == "ssl" { 3 } else { 2 })?.to_string())
        }
        ("configuration keywords", "server") => ("Keywords of `server`", words.get(3)?.to_string()),
        ("configuration keywords", "http-request" | "http-response" | "http-after-response")
            if words.len() > 1 =>
        {
            ("Actions", words[1].trim_end_matches('*').to_owned())
        }
        ("configuration keywords", "option") => ("# HAProxy", format!("option {}", words.get(1)?)),
        ("configuration keywords", _) => ("# HAProxy", first.to_owned()),
        ("CLI keywords", _) => {
            let end = line.find('[').unwrap_or(line.len());
            ("Runtime commands", line[..end].trim().to_owned())
        }
        ("sample converter functions", _) => ("Converters", name(first)),
        ("sample fetch functions", "[") => ("Sample fetches", name(line.rsplit("] ").next()?)),
        _ => return None,
    })
}

#[test]
fn every_word_of_haproxy_has_its_row() {
    let place = Place::new("same_cfg_keywords");
    let file = place.subdir("empty").join("haproxy.cfg");
    fs::write(&file, "global\n").expect("write haproxy.cfg");
    let known =
        place.command("haproxy").args(["-dKall", "-c", "-f"]).arg(&file).output().expect("run haproxy");
    let tables =
        written(&place.command(built("drain-proxy")).arg("directives").output().expect("run drain-proxy"));
    let (mut list, mut section, mut count, mut missing) = (String::new(), "", 0, Vec::new());
    let known = written(&known);
    for line in known.lines() {
        if let Some(title) = line.strip_prefix("# List of registered ") {
            title.trim_end_matches(':').clone_into(&mut list);
            continue;
        }
        if !line.starts_with(['\t', ' ']) {
            section = line;
        }
        // Their words are those of a `bind` with TLS.
        if section == "crt-list" {
            continue;
        }
        let Some((title, word)) = place_of(&list, line) else { continue };
        count += 1;
        let rows = rows(&tables, title);
        let is_there = has(&rows, &word)
            // A command's table has what it begins with.
            || title == "Runtime commands" && rows.iter().any(|row| word.starts_with(&format!("{row} ")));
        if !is_there {
            missing.push(format!("{title}: {word}"));
        }
    }
    place.check(count > 500, &format!("HAProxy lists its words, but {count} were read"));
    place.check(missing.is_empty(), &format!("no row has these:\n{}", missing.join("\n")));
}
