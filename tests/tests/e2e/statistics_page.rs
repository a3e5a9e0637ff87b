//! HAProxy's statistics on the admin port, as programs that read HAProxy's page want them.

use std::{collections::HashMap, fs, net::SocketAddr, os::unix::fs::PermissionsExt};

use drain_tests::{
    Place, Proxy,
    client::{Connection, Response},
    port,
};

use crate::upstream::Upstream;

/// `ops:s3cret`
const AUTHORIZATION: &str = "authorization: Basic b3BzOnMzY3JldA==";

fn ask(method: &str, admin: SocketAddr, path: &str, body: &str) -> Response {
    let headers = [AUTHORIZATION, "content-type: application/x-www-form-urlencoded"];
    let fetch = |mut connection: Connection| connection.fetch(method, path, &headers, body.as_bytes());
    Connection::open(admin).and_then(fetch).expect("an answer of the admin port")
}

fn text(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn started(place: &Place, name: &str, keys: &str) -> (Proxy, SocketAddr) {
    let [a, b] = ["a", "b"].map(Upstream::start);
    let admin = port::free();
    let proxy = Proxy::new(place, name)
        .server("a", a.address, None)
        .server("b", b.address, None)
        .section(&format!("[admin]\nlisten = \"{admin}\"\n{keys}"))
        .start();
    (proxy, admin)
}

#[test]
fn the_page_has_what_programs_look_for() {
    let place = Place::new("statistics_forms");
    let (_proxy, admin) = started(&place, "lb", "statistics = \"/\"");
    let page = ask("GET", admin, "/", "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let page = text(&page);
    // Datadog's and Zabbix' patterns.
    let version = page.split("HAProxy version ").nth(1).and_then(|rest| rest.split(',').next());
    assert!(version.is_some_and(|version| version.starts_with("2.6.")), "{version:?}");
    assert!(page.contains("uptime = </b> 0d 0h0"), "{page}");
    let csv = ask("GET", admin, "/;csv;norefresh", "");
    assert_eq!(csv.header("content-type"), Some("text/plain"));
    let csv = text(&csv);
    let columns: Vec<usize> = csv.lines().map(|line| line.matches(',').count()).collect();
    assert!(csv.starts_with("# pxname,svname,") && columns.len() == 5, "{csv}");
    assert!(columns.iter().all(|count| *count == columns[0]), "{csv}");
    let json = text(&ask("GET", admin, "/;json", ""));
    let json: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(4));
    assert_eq!(text(&ask("GET", admin, "/;csv;scope=none", "")).lines().count(), 1);
    // It may be looked at only.
    let answer = ask("POST", admin, "/", "s=a&action=drain&b=shop");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/;st=DENY")));
    assert_eq!(ask("HEAD", admin, "/;csv", "").status, 200);
}

/// The rules of Zabbix' template "HAProxy by HTTP": what it takes from the page, and from which columns of the list, by their
/// names, its items and discoveries come. A number that is empty is none to it, where a proxy or server has none.
#[test]
fn zabbix_finds_every_column_of_its_template() {
    const NUMBERS: [&str; 29] = [
        "qcur",
        "scur",
        "smax",
        "slim",
        "bin",
        "bout",
        "dreq",
        "dresp",
        "ereq",
        "econ",
        "eresp",
        "wretr",
        "wredis",
        "weight",
        "act",
        "bck",
        "chkfail",
        "downtime",
        "rate",
        "hrsp_4xx",
        "hrsp_5xx",
        "req_rate",
        "req_tot",
        "conn_rate",
        "conn_tot",
        "qtime",
        "ctime",
        "rtime",
        "lbtot",
    ];
    const STATUSES: [&str; 6] = ["UP", "DOWN", "OPEN", "no check", "NOLB", "MAINT"];
    let place = Place::new("statistics_zabbix");
    let (_proxy, admin) = started(&place, "lb", "");
    let page = text(&ask("GET", admin, "/stats", ""));
    // `HAProxy version ([^,]*),` and `uptime = <\/b> ?(.+)<br>`, of which days, hours, minutes and seconds are made.
    let between = |before: &str, after: &str| page.split(before).nth(1)?.split(after).next().map(str::trim);
    assert!(between("HAProxy version ", ",").is_some_and(|version| version.starts_with("2.6.")), "{page}");
    let uptime = between("uptime = </b>", "<br>").expect("the time since the start");
    let units: String = uptime.chars().filter(char::is_ascii_alphabetic).collect();
    assert!(units.starts_with("dhms"), "{uptime}");
    let csv = text(&ask("GET", admin, "/stats;csv", ""));
    let mut lines = csv.trim_start_matches("# ").lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let rows: Vec<HashMap<&str, &str>> =
        lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect();
    // Frontends, servers and backends are told apart by their names, and only those of the mode are discovered.
    let of = |kind: &str| rows.iter().filter(|row| row["svname"] == kind).count();
    assert_eq!((of("FRONTEND"), of("BACKEND"), rows.len()), (1, 1, 4), "{csv}");
    for row in rows {
        assert!(row["mode"] == "http" && !row["pxname"].is_empty(), "{row:?}");
        assert!(STATUSES.iter().any(|status| row["status"].starts_with(status)), "{row:?}");
        for name in NUMBERS {
            assert!(row[name].is_empty() || row[name].parse::<u64>().is_ok(), "{name}: {row:?}");
        }
    }
}

#[test]
fn the_form_sets_servers() {
    let place = Place::new("statistics_form");
    let file = place.dir().join("password");
    fs::write(&file, "s3cret\n").expect("write the password");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("hide the password");
    let keys = format!(
        "listen_level = \"operate\"\nauth = {{ user = \"ops\", password_file = \"{}\" }}",
        file.display()
    );
    let (mut proxy, admin) = started(&place, "lb", &keys);
    proxy.child().expect_error("backend shop has no server available!");
    let status = |server: &str| {
        let csv = text(&ask("GET", admin, "/haproxy?stats;csv", ""));
        let row = csv.lines().find(|line| line.starts_with(&format!("shop,{server},"))).expect("its row");
        row.split(',').nth(17).unwrap_or_default().to_owned()
    };
    let number = || {
        let csv = text(&ask("GET", admin, "/haproxy?stats;csv", ""));
        let row = csv.lines().find(|line| line.starts_with("shop,a,")).expect("its row");
        row.split(',').nth(27).unwrap_or_default().to_owned()
    };
    let form = |body: &str| {
        let answer = ask("POST", admin, "/haproxy?stats", body);
        assert_eq!(answer.status, 303, "{body}");
        answer.header("location").unwrap_or_default().to_owned()
    };
    assert_eq!(form("s=a&action=drain&b=shop"), "/haproxy?stats;st=DONE");
    assert_eq!((status("a"), status("b")), ("DRAIN".to_owned(), "UP".to_owned()));
    // As HAProxy's own form has it.
    assert_eq!(form(&format!("s=a&s=b&action=maint&b=%23{}", number())), "/haproxy?stats;st=DONE");
    assert_eq!((status("a"), status("b")), ("MAINT".to_owned(), "MAINT".to_owned()));
    assert_eq!(form("s=a&s=c&action=ready&b=shop"), "/haproxy?stats;st=PART");
    assert!(status("a").starts_with("UP") && status("b") == "MAINT");
    assert_eq!(form("s=a&action=explode&b=shop"), "/haproxy?stats;st=ERRP");
    assert_eq!(form("action=ready&b=shop"), "/haproxy?stats;st=NONE");
    assert!(
        text(&ask("GET", admin, "/haproxy?stats;st=DONE", "")).contains("Action processed successfully.")
    );
}
