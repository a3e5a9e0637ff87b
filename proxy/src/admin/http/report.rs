//! HAProxy's "Statistics Report": its page, in its words and its order, as far as programs look for them
//! (`HAProxy version …,`, `uptime = </b> …`). What people are to look at is the live page.

use super::form;
use crate::admin::stats::{Field, InfoField, Kind, Row, Snapshot};

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

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <title>Statistics Report for HAProxy</title><link rel=\"icon\" href=\"data:,\">";

/// The port has the style itself, and the live page beside this one.
pub(super) const STYLE: &str = "<link rel=\"stylesheet\" href=\"/stats.css\">";

/// The page with these rows; `word` is HAProxy's for what became of the last thing that was ordered.
pub(super) fn page(snapshot: &Snapshot, rows: &[Row], word: &str, frame: &Frame<'_>) -> String {
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
    if !word.is_empty() {
        page.push_str(&format!("<p role=\"status\"><b>{}</b></p>\n", outcome(word)));
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
            "Action denied: this page may be looked at only (admin.listen_level, stats admin), or another site's page sent the form."
        }
        b"EXCD" => {
            "Action not processed: the form is too long. You should retry with less servers at a time."
        }
        b"ERRP" => {
            "Action not processed because of invalid parameters: the action, the backend or the servers are unknown."
        }
        b"IVAL" => "Invalid requests (unsupported method or chunked encoded request).",
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
        let options: String = form::WORDS
            .iter()
            .filter(|(.., text)| !text.is_empty())
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
