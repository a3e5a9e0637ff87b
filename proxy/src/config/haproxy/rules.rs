//! `acl`, `http-request` and the like: rules go into the TOML in the words that they have.

use super::{
    lexer,
    section::Directive,
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
    let piece = rule(reading, directive);
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
    reading.settings.used.push((name.clone(), Origin::of(directive, 1)));
    let piece = rule(reading, directive);
    reading.settings.use_backend.push(piece);
}

/// `monitor fail if …`
pub(super) fn monitor_fail(reading: &mut Reading<'_>, directive: &Directive) {
    let piece = rule(reading, directive);
    reading.settings.monitor_fail.push(piece);
}

/// The words behind the directive's name, as a string that is read again as words.
fn rule(reading: &Reading<'_>, directive: &Directive) -> Piece {
    reading.piece(toml::text(&lexer::joined(reading.arguments(directive))), directive)
}

/// `errorfile CODE FILE`
pub(super) fn errorfile(reading: &mut Reading<'_>, directive: &Directive) {
    let [code, file] = reading.arguments(directive) else {
        return reading.alert(&directive.place, "'errorfile' expects <status_code> and <file> as arguments.");
    };
    let Ok(code) = code.parse::<u16>() else {
        return reading.alert(&directive.place, format!("'errorfile' : '{code}' is no status."));
    };
    let piece = reading.piece(toml::text(file), directive);
    reading.settings.error_files.retain(|(other, _)| *other != code);
    reading.settings.error_files.push((code, piece));
}
