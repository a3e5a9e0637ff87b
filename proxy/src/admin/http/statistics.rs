//! HAProxy's statistics at their address, with what may stand behind it: `;csv`, `;json`, `;json-schema`, `;typed`,
//! `;norefresh`, `;up`, `;no-maint`, `;st=…`, `;scope=…`.

use std::{borrow::Cow, sync::Arc};

use axum::{
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    form,
    report::{Frame, STYLE, page},
    routes::{Desk, typed},
};
use crate::{
    admin::stats::{Field, Filter, Hide, Row, Snapshot, format},
    clock,
    config::PortLevel,
};

/// A scope is part of a proxy's name, and HAProxy takes no longer one.
const LONGEST_SCOPE: usize = 20;

/// What is asked for behind the address.
#[derive(Debug, Default, PartialEq)]
struct Asked<'a> {
    form: Form,
    hide: Hide,
    scope: &'a str,
    /// What became of the last thing that was ordered.
    outcome: &'a str,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Form {
    #[default]
    Page,
    Csv,
    Json,
    JsonSchema,
    Typed,
}

impl<'a> Asked<'a> {
    /// `suffix` is what stands behind the address.
    fn read(suffix: &'a str) -> Self {
        let mut asked = Self::default();
        for word in suffix.split([';', '?', '&']) {
            match word {
                "csv" => asked.form = Form::Csv,
                "json" => asked.form = Form::Json,
                "json-schema" => asked.form = Form::JsonSchema,
                "typed" => asked.form = Form::Typed,
                "up" => asked.hide = Hide::Down,
                "no-maint" => asked.hide = Hide::Maintenance,
                _ => {
                    if let Some(scope) = word.strip_prefix("scope=") {
                        asked.scope = scope.get(..LONGEST_SCOPE).unwrap_or(scope);
                    } else if let Some(outcome) = word.strip_prefix("st=") {
                        asked.outcome = outcome;
                    }
                }
            }
        }
        asked
    }
}

/// What stands behind the address of the statistics, if this is it.
pub(super) fn suffix<'u>(desk: &Desk, uri: &'u Uri) -> Option<&'u str> {
    let asked = uri.path_and_query()?.as_str();
    // The short one is for people.
    [&*desk.settings.statistics, "/stats"].iter().find_map(|prefix| asked.strip_prefix(prefix))
}

/// The answer to `method` there.
pub(super) fn answer(
    desk: &Arc<Desk>,
    method: &Method,
    headers: &HeaderMap,
    suffix: &str,
    form: &str,
) -> Response {
    let may = desk.settings.level == PortLevel::Operate;
    if method == Method::POST {
        let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let outcome = if may && form::is_own(&field) {
            form::obey(&desk.subject.statistics, &desk.subject.gate, form)
        } else {
            "DENY"
        };
        let place = after_form(&desk.settings.statistics, suffix, outcome);
        return (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD, POST")]).into_response();
    }
    let frame = Frame { uri: &desk.settings.statistics, style: STYLE, may, hides_version: false };
    let snapshot = desk.subject.statistics.snapshot(clock::now());
    let (kind, text) = content(&snapshot, suffix, &frame, &|_| true);
    typed(kind, text)
}

/// What is asked for by what stands behind the address, of the proxies that are `shown`, with its type.
pub(super) fn content(
    snapshot: &Snapshot,
    suffix: &str,
    frame: &Frame<'_>,
    shown: &dyn Fn(&str) -> bool,
) -> (&'static str, Cow<'static, str>) {
    let asked = Asked::read(suffix);
    let is_meant = |row: &Row| {
        let name = row.text(Field::Pxname);
        name.contains(asked.scope) && shown(name)
    };
    let rows = Filter { hide: asked.hide, ..Filter::default() }.rows(snapshot);
    let rows: Vec<Row> = rows.into_iter().filter(is_meant).collect();
    match asked.form {
        Form::Csv => ("text/plain", format::csv(&rows).into()),
        Form::Json => ("application/json", format::json(&rows).into()),
        Form::JsonSchema => ("application/json", format::SCHEMA.into()),
        Form::Typed => ("text/plain", format::typed(&rows, false).into()),
        Form::Page => ("text/html; charset=utf-8", page(snapshot, &rows, asked.outcome, frame).into()),
    }
}

/// Where whoever has sent a form goes next: reloading that page orders nothing again.
pub(super) fn after_form(uri: &str, suffix: &str, outcome: &str) -> String {
    let kept = [";up", ";norefresh"].into_iter().filter(|word| suffix.contains(word));
    format!("{uri};st={outcome}{}", kept.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_address_is_read_in_any_order() {
        let csv = Asked { form: Form::Csv, ..Asked::default() };
        assert_eq!(
            (Asked::read(";csv"), Asked::read(";norefresh;csv")),
            (csv, Asked::read("/;csv;norefresh"))
        );
        assert_eq!(Asked::read(";csv;up").hide, Hide::Down);
        assert_eq!(Asked::read(";no-maint;json;st=DONE").outcome, "DONE");
        assert_eq!(Asked::read("?scope=shop&csv").scope, "shop");
        assert_eq!(Asked::read(&format!("?scope={}", "x".repeat(99))).scope.len(), LONGEST_SCOPE);
        assert_eq!(Asked::read(""), Asked::default());
    }
}
