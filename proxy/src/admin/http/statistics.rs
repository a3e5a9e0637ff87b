//! HAProxy's statistics at their address, with what may stand behind it: `;csv`, `;json`, `;json-schema`, `;typed`,
//! `;norefresh`, `;up`, `;no-maint`, `;st=…`, `;scope=…`.
//!
//! The page is HAProxy's in its words and its order, as far as programs look for them (`HAProxy version …,`,
//! `uptime = </b> …`); what people are to look at is the live page.

use std::{borrow::Cow, sync::Arc};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    act,
    routes::{Desk, typed},
};
use crate::{
    admin::stats::{Field, Filter, Hide, InfoField, Kind, Row, Snapshot, format},
    clock,
    config::PortLevel,
};

/// A scope is part of a proxy's name, and HAProxy takes no longer one.
const LONGEST_SCOPE: usize = 20;

/// In which a browser says whether a page of another site sends the form. Only browsers have it, and no page can set it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

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
        let outcome = if may && is_own(headers) { act::by_form(desk, form) } else { "DENY" };
        let place = format!("{};st={outcome}", desk.settings.statistics);
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

/// What is around a page.
pub(super) struct Frame<'a> {
    /// Its address.
    pub(super) uri: &'a str,
    /// Where it has its looks from.
    pub(super) style: &'a str,
    /// Servers may be acted on.
    pub(super) may: bool,
    /// The version is nobody's business.
    pub(super) hides_version: bool,
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
        Form::Page => ("text/html; charset=utf-8", page(snapshot, &rows, &asked, frame).into()),
    }
}

/// Whether a form comes from this port's own page, or from a program. A browser adds the password to whatever a page sends
/// here, whose ever page it is; so it must not be another's. Programs say neither.
fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SITE) {
        return site == "same-origin" || site == "none";
    }
    // A browser that is spoken to without TLS says only where its page is from.
    headers.get(header::ORIGIN).is_none_or(|origin| {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_ascii_lowercase);
        let origin = text(origin);
        let place = origin.as_deref().and_then(|origin| origin.split_once("://")).map(|(_, place)| place);
        let host = headers.get(header::HOST).and_then(text);
        place.is_some() && place == host.as_deref()
    })
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <title>Statistics Report for HAProxy</title><link rel=\"icon\" href=\"data:,\">";

/// The port has the style itself, and the live page beside this one.
const STYLE: &str = "<link rel=\"stylesheet\" href=\"/stats.css\">";

fn page(snapshot: &Snapshot, rows: &[Row], asked: &Asked<'_>, frame: &Frame<'_>) -> String {
    let info = |field: InfoField| snapshot.info.value(field).map(ToString::to_string).unwrap_or_default();
    let (uri, may) = (escaped(frame.uri), frame.may);
    let version = if frame.hides_version {
        "<h1>HAProxy</h1>".to_owned()
    } else {
        format!(
            "<h1>HAProxy version {}, released {}</h1>",
            escaped(&info(InfoField::Version)),
            escaped(&info(InfoField::ReleaseDate))
        )
    };
    let own = if frame.style == STYLE {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "<p class=\"quiet\">This is drain-proxy {version}; its own page is <a href=\"/live\">live</a>.</p>\n"
        )
    } else {
        String::new()
    };
    let mut page = format!(
        "{HEAD}{}</head>\n<body>{version}\n<h2>Statistics Report for pid {pid}</h2>\n{own}\
         <h3>&gt; General process information</h3>\n<p><b>pid = </b> {pid} (process #1, nbproc = 1, nbthread = {})<br>\n\
         <b>uptime = </b> {}<br>\n<b>system limits:</b> ulimit-n = {}<br>\n<b>maxsock = </b> {}; <b>maxconn = </b> {}; \
         <b>maxpipes = </b> {}<br>\ncurrent conns = {}; conn rate = {}/sec<br>\nRunning tasks: {}; idle = {} %</p>\n",
        frame.style,
        info(InfoField::Nbthread),
        info(InfoField::Uptime),
        info(InfoField::UlimitN),
        info(InfoField::Maxsock),
        info(InfoField::Maxconn),
        info(InfoField::Maxpipes),
        info(InfoField::CurrConns),
        info(InfoField::ConnRate),
        info(InfoField::Tasks),
        info(InfoField::IdlePct),
        pid = info(InfoField::Pid),
    );
    page.push_str(&format!(
        "<p>Note: \"NOLB\"/\"DRAIN\" = UP with load-balancing disabled. <b>Display option:</b> \
         <a href=\"{uri};up\">Hide 'DOWN' servers</a> · <a href=\"{uri};no-maint\">Hide 'MAINT' servers</a> · \
         <a href=\"{uri}\">Refresh now</a> · <a href=\"{uri};csv\">CSV export</a> · <a href=\"{uri};json\">JSON \
         export</a> (<a href=\"{uri};json-schema\">schema</a>)</p>\n"
    ));
    if !asked.outcome.is_empty() {
        page.push_str(&format!("<p role=\"status\"><b>{}</b></p>\n", outcome(asked.outcome)));
    }
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|row| row.proxy == first.proxy).count();
        let (of_proxy, others) = rest.split_at(count);
        push_proxy(&mut page, of_proxy, &uri, may);
        rest = others;
    }
    page.push_str("</body></html>\n");
    page
}

/// What HAProxy says of the codes behind `;st=`.
const fn outcome(code: &str) -> &'static str {
    match code.as_bytes() {
        b"DONE" => "Action processed successfully.",
        b"NONE" => "Nothing has changed.",
        b"PART" => "Action partially processed. Some server names are probably unknown or ambiguous.",
        b"DENY" => {
            "Access denied: this port may be looked at only (admin.level), or another site's page sent the form."
        }
        _ => "Action not processed: the request could not be understood.",
    }
}

/// Groups and columns of HAProxy's table, each with the field that is in it.
const GROUPS: [(&str, &[(&str, Field)]); 8] = [
    ("Queue", &[("Cur", Field::Qcur), ("Max", Field::Qmax), ("Limit", Field::Qlimit)]),
    ("Session rate", &[("Cur", Field::Rate), ("Max", Field::RateMax), ("Limit", Field::RateLim)]),
    (
        "Sessions",
        &[
            ("Cur", Field::Scur),
            ("Max", Field::Smax),
            ("Limit", Field::Slim),
            ("Total", Field::Stot),
            ("LbTot", Field::Lbtot),
            ("Last", Field::Lastsess),
        ],
    ),
    ("Bytes", &[("In", Field::Bin), ("Out", Field::Bout)]),
    ("Denied", &[("Req", Field::Dreq), ("Resp", Field::Dresp)]),
    ("Errors", &[("Req", Field::Ereq), ("Conn", Field::Econ), ("Resp", Field::Eresp)]),
    ("Warnings", &[("Retr", Field::Wretr), ("Redis", Field::Wredis)]),
    (
        "Server",
        &[
            ("Status", Field::Status),
            ("LastChk", Field::CheckStatus),
            ("Wght", Field::Weight),
            ("Act", Field::Act),
            ("Bck", Field::Bck),
            ("Chk", Field::Chkfail),
            ("Dwn", Field::Chkdown),
            ("Dwntme", Field::Downtime),
            ("Thrtle", Field::Throttle),
        ],
    ),
];

fn push_proxy(page: &mut String, rows: &[Row], uri: &str, may: bool) {
    let Some(first) = rows.first() else { return };
    let name = escaped(first.text(Field::Pxname));
    let acts = may && rows.iter().any(|row| row.kind == Kind::Server);
    if acts {
        page.push_str(&format!("<form action=\"{uri}\" method=\"post\">"));
    }
    page.push_str(&format!(
        "<table class=\"tbl\"><caption><a name=\"{name}\">{name}</a></caption>\n<tr class=\"titre\">"
    ));
    page.push_str("<th rowspan=2></th>");
    for (title, columns) in GROUPS {
        page.push_str(&format!("<th colspan={}>{title}</th>", columns.len()));
    }
    page.push_str("</tr>\n<tr class=\"titre\">");
    for (title, _) in GROUPS.iter().flat_map(|(_, columns)| columns.iter()) {
        page.push_str(&format!("<th>{title}</th>"));
    }
    page.push_str("</tr>\n");
    for row in rows {
        let server = escaped(row.text(Field::Svname));
        let choice = if acts && row.kind == Kind::Server {
            format!("<label><input type=\"checkbox\" name=\"s\" value=\"{server}\"> {server}</label>")
        } else {
            match row.kind {
                Kind::Frontend => "Frontend".to_owned(),
                Kind::Backend => "Backend".to_owned(),
                Kind::Server => server,
            }
        };
        page.push_str(&format!("<tr class=\"{}\"><td class=ac>{choice}</td>", class(row)));
        for (_, field) in GROUPS.iter().flat_map(|(_, columns)| columns.iter()) {
            let value = row.value(*field).map(|value| escaped(&value.to_string())).unwrap_or_default();
            page.push_str(&format!("<td>{value}</td>"));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>");
    if acts {
        let options: String = act::FORM_WORDS
            .iter()
            .map(|(word, _, text)| format!("<option value=\"{word}\">{text}</option>"))
            .collect();
        page.push_str(&format!(
            "<p>Choose the action to perform on the checked servers : <select name=\"action\"><option value=\"\">\
             </option>{options}</select> <input type=\"hidden\" name=\"b\" value=\"#{}\"> <input type=\"submit\" \
             value=\"Apply\"></p></form>",
            first.proxy
        ));
    }
    page.push('\n');
}

/// HAProxy's class for the colour.
fn class(row: &Row) -> String {
    match row.kind {
        Kind::Frontend => return "frontend".to_owned(),
        Kind::Backend => return "backend".to_owned(),
        Kind::Server => {}
    }
    let status = row.text(Field::Status);
    let kind = if row.number(Field::Bck) == 1 { "backup" } else { "active" };
    let (word, is_partly) = (status.split(' ').next().unwrap_or_default(), status.contains('/'));
    let state = match word {
        "MAINT" => return "maintain".to_owned(),
        "DRAIN" => "draining",
        "NOLB" => "nolb",
        "DOWN" if is_partly => "going_up",
        "DOWN" => "down",
        "no" => "no_check",
        _ if is_partly => "going_down",
        _ if row.number(Field::Weight) == 0 => "draining",
        _ => "up",
    };
    format!("{kind}_{state}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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

    #[test]
    fn a_form_of_another_sites_page_is_denied() {
        let own = |pairs: &[(&'static str, &'static str)]| {
            is_own(
                &pairs.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            )
        };
        let host = ("host", "lb1:8404");
        assert!(own(&[host]), "a program");
        assert!(own(&[host, ("origin", "http://LB1:8404")]) && own(&[host, ("sec-fetch-site", "none")]));
        assert!(
            own(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://lb1.example")]),
            "behind TLS"
        );
        for site in ["cross-site", "same-site", ""] {
            assert!(!own(&[host, ("sec-fetch-site", site), ("origin", "http://lb1:8404")]), "{site}");
        }
        for origin in ["null", "http://evil.example", "http://lb1", "http://lb1:8404.evil.example", ""] {
            assert!(!own(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!own(&[("origin", "null")]), "without a host");
    }

    #[test]
    fn rows_have_haproxys_classes() {
        let of = |status: &str, backup: u32| {
            let mut row = Row::new(Kind::Server, 2, 1);
            row.set(Field::Status, status);
            row.set(Field::Weight, 1_u32);
            row.set(Field::Bck, backup);
            class(&row)
        };
        for (status, expected) in [
            ("UP", "active_up"),
            ("UP 2/3", "active_going_down"),
            ("DOWN 1/2", "active_going_up"),
            ("DOWN", "active_down"),
            ("NOLB", "active_nolb"),
            ("DRAIN (agent)", "active_draining"),
            ("MAINT", "maintain"),
            ("no check", "active_no_check"),
        ] {
            assert_eq!(of(status, 0), expected);
        }
        assert_eq!(of("UP", 1), "backup_up");
        assert_eq!(escaped("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
