//! `acl`, `http-request` and the like: rules go into the TOML in the words that they have.

use super::{
    global::ErrorGroup,
    lexer, log,
    message::Messages,
    section::{Directive, Section},
    settings::Reading,
    toml::{self, Origin, Piece},
};

/// `acl NAME CRITERION…`: a rule's words, as they are.
pub(super) fn acl(reading: &mut Reading<'_>, directive: &Directive) {
    let piece = rule(reading, directive);
    reading.settings.acls.push(piece);
}

/// `http-request ACTION…`
pub(super) fn http_request(reading: &mut Reading<'_>, directive: &Directive) {
    let mut words = with_error_files(reading, directive);
    log::capture_rule(reading, directive, &mut words);
    let piece = reading.piece(toml::text(&lexer::joined(&words)), directive);
    reading.settings.request_rules.push(piece);
}

/// `http-response ACTION…`
pub(super) fn http_response(reading: &mut Reading<'_>, directive: &Directive) {
    let piece = rule(reading, directive);
    reading.settings.response_rules.push(piece);
}

/// `http-after-response ACTION…`
pub(super) fn http_after_response(reading: &mut Reading<'_>, directive: &Directive) {
    let piece = rule(reading, directive);
    reading.settings.after_rules.push(piece);
}

/// `redirect …`: an action of `http-request` that comes after all of those.
pub(super) fn redirect(reading: &mut Reading<'_>, directive: &Directive) {
    let piece = reading.piece(toml::text(&lexer::joined(&directive.words)), directive);
    reading.settings.redirects.push(piece);
}

/// `use_backend NAME [if …]`
pub(super) fn use_backend(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(name) = reading.arguments(directive).first() else {
        return reading.alert(&directive.place, "'use_backend' expects a backend's name.");
    };
    if name.contains("%[") {
        let text = format!(
            "'use_backend' : a name that is made for each request ('{name}') is not supported: write a line for each \
             backend, such as `use_backend shop if {{ req.hdr(host) -i shop.example }}`."
        );
        return reading.alert(&directive.place, text);
    }
    reading.settings.used.push((name.clone(), Origin::of(directive, 1)));
    let piece = rule(reading, directive);
    reading.settings.use_backend.push(piece);
}

/// `force-persist {if | unless} …` and `ignore-persist …`
pub(super) fn persistence(reading: &mut Reading<'_>, directive: &Directive) {
    let name = directive.words[0].as_str();
    if !matches!(reading.arguments(directive), [word, _, ..] if word == "if" || word == "unless") {
        let text = format!("'{name}' requires either 'if' or 'unless' followed by a condition.");
        return reading.alert(&directive.place, text);
    }
    let verb = name.trim_end_matches("-persist");
    let text = format!("{verb} {}", lexer::joined(reading.arguments(directive)));
    let piece = reading.piece(toml::text(&text), directive);
    reading.settings.persistence.push(piece);
}

/// `monitor fail if …`
pub(super) fn monitor_fail(reading: &mut Reading<'_>, directive: &Directive) {
    let piece = rule(reading, directive);
    reading.settings.monitor_fail.push(piece);
}

/// The words behind the directive's name, as a string that is read again as words.
fn rule(reading: &mut Reading<'_>, directive: &Directive) -> Piece {
    let words = with_error_files(reading, directive);
    reading.piece(toml::text(&lexer::joined(&words)), directive)
}

/// The words of an action, where `errorfiles NAME` has become `errorfile FILE` of its status.
fn with_error_files(reading: &mut Reading<'_>, directive: &Directive) -> Vec<String> {
    let mut words = reading.arguments(directive).to_vec();
    let standard = match words.first().map(String::as_str) {
        Some("deny") => 403,
        Some("tarpit") => 500,
        Some("return") => 200,
        _ => return words,
    };
    let Some(at) = words.iter().position(|word| word == "errorfiles") else { return words };
    let status = words.windows(2).find(|pair| pair[0] == "status" || pair[0] == "deny_status");
    let status = status.and_then(|pair| pair[1].parse().ok()).unwrap_or(standard);
    let name = words.get(at + 1).cloned().unwrap_or_default();
    match file_of(reading, &name, status) {
        Ok(file) => {
            let end = words.len().min(at + 2);
            words.splice(at..end, ["errorfile".to_owned(), file]);
        }
        Err(why) => reading.alert(&directive.place, why),
    }
    words
}

/// The file that a group has for a status.
fn file_of(reading: &Reading<'_>, name: &str, status: u16) -> Result<String, String> {
    let group = reading.global.error_groups.iter().find(|group| group.name == name);
    let group = group.ok_or_else(|| format!("unable to find the section 'http-errors {name}'."))?;
    let file = group.files.iter().find(|(of, _)| *of == status).map(|(_, file)| file.clone());
    file.ok_or_else(|| format!("the section 'http-errors {name}' has no 'errorfile {status}'."))
}

/// `errorfile CODE FILE`
pub(super) fn errorfile(reading: &mut Reading<'_>, directive: &Directive) {
    match status_and_file(reading.arguments(directive)) {
        Ok((code, file)) => set_file(reading, directive, code, file),
        Err(why) => reading.alert(&directive.place, why),
    }
}

fn status_and_file(arguments: &[String]) -> Result<(u16, &str), String> {
    let [code, file] = arguments else {
        return Err("'errorfile' expects <status_code> and <file> as arguments.".into());
    };
    let code = code.parse::<u16>().map_err(|_| format!("'errorfile' : '{code}' is no status."))?;
    Ok((code, file))
}

fn set_file(reading: &mut Reading<'_>, directive: &Directive, code: u16, file: &str) {
    set_page(reading, directive, code, "errorfile", file);
}

/// An error has one answer, the last one.
fn set_page(reading: &mut Reading<'_>, directive: &Directive, code: u16, key: &'static str, text: &str) {
    let piece = reading.piece(toml::text(text), directive);
    reading.settings.error_pages.retain(|(other, ..)| *other != code);
    reading.settings.error_pages.push((code, key, piece));
}

/// `errorloc CODE URL`, `errorloc302`, `errorloc303`
pub(super) fn errorloc(reading: &mut Reading<'_>, directive: &Directive) {
    let name = directive.words[0].as_str();
    let [code, url] = reading.arguments(directive) else {
        let text = format!("'{name}' expects <status_code> and <url> as arguments.");
        return reading.alert(&directive.place, text);
    };
    let Ok(code) = code.parse::<u16>() else {
        return reading.alert(&directive.place, format!("'{name}' : '{code}' is no status."));
    };
    set_page(reading, directive, code, if name == "errorloc303" { "errorloc303" } else { "errorloc" }, url);
}

/// `errorfiles NAME [CODE…]`
pub(super) fn errorfiles(reading: &mut Reading<'_>, directive: &Directive) {
    let Some((name, codes)) = reading.arguments(directive).split_first() else {
        return reading.alert(&directive.place, "'errorfiles' expects the name of a section 'http-errors'.");
    };
    let Some(group) = reading.global.error_groups.iter().find(|group| group.name == *name).cloned() else {
        let text = format!("unable to find the section 'http-errors {name}'.");
        return reading.alert(&directive.place, text);
    };
    let wanted: Result<Vec<u16>, _> = codes.iter().map(|code| code.parse()).collect();
    let wanted = wanted.unwrap_or_default();
    if wanted.len() < codes.len() || wanted.iter().any(|code| group.files.iter().all(|(of, _)| of != code)) {
        let text =
            format!("'errorfiles' expects statuses that 'http-errors {name}' has: '{}'.", codes.join(" "));
        return reading.alert(&directive.place, text);
    }
    for (code, file) in group.files.iter().filter(|(code, _)| codes.is_empty() || wanted.contains(code)) {
        set_file(reading, directive, *code, file);
    }
}

/// `http-error status CODE {errorfile FILE | errorfiles NAME | default-errorfiles | CONTENT}`
pub(super) fn http_error(reading: &mut Reading<'_>, directive: &Directive) {
    let words: Vec<&str> = reading.arguments(directive).iter().map(String::as_str).collect();
    let ["status", code, rest @ ..] = words.as_slice() else {
        return reading.alert(&directive.place, "'http-error' expects 'status' and a code first.");
    };
    let Ok(code) = code.parse::<u16>() else {
        return reading.alert(&directive.place, format!("'http-error' : '{code}' is no status."));
    };
    match rest {
        ["default-errorfiles"] => reading.settings.error_pages.retain(|(other, ..)| *other != code),
        ["errorfile", file] => set_file(reading, directive, code, file),
        ["errorfiles", name] => match file_of(reading, name, code) {
            Ok(file) => set_file(reading, directive, code, &file),
            Err(why) => reading.alert(&directive.place, why),
        },
        _ => {
            let page = lexer::joined(&reading.arguments(directive)[2..]);
            set_page(reading, directive, code, "errorpage", &page);
        }
    }
}

/// A section `http-errors NAME`.
pub(super) fn error_group(section: &Section, messages: &mut Messages) -> Option<ErrorGroup> {
    let [_, name] = section.head.words.as_slice() else {
        messages.alert(&section.head.place, "'http-errors' expects a name.");
        return None;
    };
    let mut files = Vec::new();
    for directive in &section.directives {
        let read = match directive.words.split_first() {
            Some((word, arguments)) if word == "errorfile" => status_and_file(arguments),
            _ => Err(format!("unknown keyword '{}' in 'http-errors' section", directive.words[0])),
        };
        match read {
            Ok((code, file)) => files.push((code, file.to_owned())),
            Err(why) => messages.alert(&directive.place, why),
        }
    }
    Some(ErrorGroup { name: name.clone(), files })
}
