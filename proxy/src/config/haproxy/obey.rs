//! Directives of a section, one after the other: each does what the table of directives says.

use super::{
    directives::{self, Does},
    global::{self, Global},
    message::Messages,
    nearest::did_you_mean,
    proxy,
    section::{Directive, Section},
    settings::{Kind, Reading, Settings},
};

/// Reads a section's directives, one after the other.
pub(super) fn section(
    section: &Section,
    kind: Kind,
    name: &str,
    settings: &mut Settings,
    global: &mut Global,
    messages: &mut Messages,
) {
    for directive in &section.directives {
        if messages.is_hopeless() {
            return;
        }
        let negated = directive.words[0] == "no" && directive.words.len() > 1;
        let mut without = directive.clone();
        if negated {
            without.words.remove(0);
        }
        let directive = &without;
        let mut reading = Reading {
            kind,
            name,
            settings: &mut *settings,
            messages: &mut *messages,
            global: &mut *global,
            words: 1,
            negated,
        };
        obey(&mut reading, directive);
        if kind == Kind::Global {
            // `[limits]` has few lines: comments stand above them.
            global.comments.extend(directive.comments.iter().cloned());
        }
    }
}

/// Does what a directive says, or says why not.
fn obey(reading: &mut Reading<'_>, directive: &Directive) {
    let kind = reading.kind;
    let Some((known, words)) = directives::find(&directive.words, kind) else {
        return unknown(reading, directive);
    };
    reading.words = words;
    let name = known.name;
    let takes_no = matches!(known.does, Does::Flag(..) | Does::Ignored(_) | Does::Nothing)
        || name.starts_with("option ")
        || name == "log";
    if reading.negated && !takes_no {
        let text = format!("'no' is only supported before 'option' and 'log', not before '{name}'.");
        return reading.alert(&directive.place, text);
    }
    if !known.stands_in(kind) {
        // HAProxy warns of a time that the section has no use for, and refuses the rest.
        if let Does::Time(..) | Does::Flag(..) | Does::Number(..) | Does::Words(..) = known.does
            && kind != Kind::Global
            && !known.sections.contains('G')
        {
            let lacks = if kind == Kind::Frontend { "backend" } else { "frontend" };
            let text = format!(
                "'{name}' will be ignored because {} '{}' has no {lacks} capability",
                kind.word(),
                reading.name
            );
            return reading.messages.warn(&directive.place, text);
        }
        let text = format!("'{name}' not allowed in '{}' section.", kind.word());
        return reading.alert(&directive.place, text);
    }
    if let Some(side) = known.side()
        && !kind.has(side)
    {
        let text = format!(
            "'{name}' has no effect in {} '{}': what its frontends say counts. Write it there.",
            kind.word(),
            reading.name
        );
        return reading.messages.warn(&directive.place, text);
    }
    if known.is_rule && kind == Kind::Defaults && reading.name.is_empty() {
        let text = format!("'{name}' not allowed in anonymous 'defaults' section.");
        return reading.alert(&directive.place, text);
    }
    match known.does {
        Does::Reads(read) => read(reading, directive),
        Does::Time(side, key) => proxy::time(reading, directive, side, key),
        Does::Number(side, key) => proxy::number(reading, directive, side, key),
        Does::Words(side, key) => proxy::words(reading, directive, side, key),
        Does::Flag(side, key) => proxy::flag(reading, directive, side, key),
        Does::Nothing => {}
        // What is not wanted is not there.
        Does::Ignored(_) | Does::Refused(_) if reading.negated => {}
        Does::Ignored(why) => {
            let name = directive.words[..words].join(" ");
            let beside = global::keeps_rights(&name);
            reading.messages.warn(&directive.place, format!("'{name}' is ignored: {why}{beside}."));
        }
        Does::Refused(why) => {
            let name = directive.words[..words].join(" ");
            reading.alert(&directive.place, format!("'{name}' is not supported: {why}."));
        }
    }
}

fn unknown(reading: &mut Reading<'_>, directive: &Directive) {
    let kind = reading.kind;
    let here = || directives::all().filter(|known| known.stands_in(kind));
    let first = directive.words[0].as_str();
    // Of a directive of several words the first may be right.
    let second = directive.word(1).unwrap_or("");
    let prefix = format!("{first} ");
    let behind: Vec<&str> = here().filter_map(|known| known.name.strip_prefix(&prefix)).collect();
    let text = if behind.is_empty() {
        let names = here().map(|known| known.name.split(' ').next().unwrap_or(known.name));
        format!("unknown keyword '{first}' in '{}' section{}", kind.word(), did_you_mean(first, names))
    } else if first == "option" {
        format!("unknown option '{second}'{}", did_you_mean(second, behind))
    } else {
        format!(
            "'{first}' supports '{}' (got '{second}'){}",
            behind.join("', '"),
            did_you_mean(second, behind.iter().copied())
        )
    };
    reading.alert(&directive.place, text);
}
