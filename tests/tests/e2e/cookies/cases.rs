//! The tables: how the cookie is configured, and what is asked.

use drain_tests::clock;

/// A backend, in both languages.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) haproxy: &'static str,
    pub(super) ours: &'static str,
}

const fn setting(name: &'static str, haproxy: &'static str, ours: &'static str) -> Setting {
    Setting { name, haproxy, ours }
}

/// Lines are parted by `;;`.
pub(super) const SETTINGS: [Setting; 23] = [
    setting("passive", "cookie SID", r#"cookie = { name = "SID", mode = "passive" }"#),
    setting(
        "passive_indirect",
        "cookie SID indirect",
        r#"cookie = { name = "SID", mode = "passive", indirect = true }"#,
    ),
    setting("rewrite", "cookie SID rewrite", r#"cookie = { name = "SID", mode = "rewrite" }"#),
    setting("insert", "cookie SID insert", r#"cookie = { name = "SID", mode = "insert", indirect = false }"#),
    setting("insert_indirect", "cookie SID insert indirect", r#"cookie = { name = "SID" }"#),
    setting(
        "preserve",
        "cookie SID insert indirect preserve",
        r#"cookie = { name = "SID", preserve = true }"#,
    ),
    setting(
        "postonly",
        "cookie SID insert indirect postonly",
        r#"cookie = { name = "SID", postonly = true }"#,
    ),
    setting("nocache", "cookie SID insert indirect nocache", r#"cookie = { name = "SID", nocache = true }"#),
    setting(
        "postonly_nocache_preserve",
        "cookie SID insert postonly nocache preserve",
        r#"cookie = { name = "SID", indirect = false, postonly = true, nocache = true, preserve = true }"#,
    ),
    setting(
        "attributes",
        "cookie SID insert attr SameSite=Lax secure attr Partitioned httponly domain .a.example domain b.example",
        r#"cookie = { name = "SID", indirect = false, attr = ["SameSite=Lax", "Partitioned"], secure = true, httponly = true, domain = [".a.example", "b.example"] }"#,
    ),
    setting("prefix", "cookie SID prefix", r#"cookie = { name = "SID", mode = "prefix" }"#),
    setting(
        "prefix_indirect",
        "cookie SID prefix indirect",
        r#"cookie = { name = "SID", mode = "prefix", indirect = true }"#,
    ),
    setting(
        "maxidle",
        "cookie SID insert indirect maxidle 60s",
        r#"cookie = { name = "SID", maxidle = "60s" }"#,
    ),
    setting(
        "maxlife",
        "cookie SID insert indirect maxlife 100s",
        r#"cookie = { name = "SID", maxlife = "100s" }"#,
    ),
    setting(
        "maxidle_maxlife",
        "cookie SID insert maxidle 60s maxlife 100s domain .a.example",
        r#"cookie = { name = "SID", indirect = false, maxidle = "60s", maxlife = "100s", domain = ".a.example" }"#,
    ),
    setting(
        "ignore_persist",
        "cookie SID insert indirect;;ignore-persist if { path_beg /static/ }",
        r#"cookie = { name = "SID" };;ignore_persist = { path_beg = "/static/" }"#,
    ),
    setting(
        "ignore_persist_prefix",
        "cookie SID prefix;;ignore-persist if { path_beg /static/ }",
        r#"cookie = { name = "SID", mode = "prefix" };;ignore_persist = { path_beg = "/static/" }"#,
    ),
    setting(
        "persist",
        "cookie SID insert indirect;;option persist",
        r#"cookie = { name = "SID" };;persist = true"#,
    ),
    setting(
        "force_persist",
        "cookie SID insert indirect;;force-persist if { path_beg /static/ }",
        r#"cookie = { name = "SID" };;force_persist = { path_beg = "/static/" }"#,
    ),
    setting(
        "force_persist_from_here",
        "cookie SID insert indirect;;force-persist if { src 127.0.0.0/8 }",
        r#"cookie = { name = "SID" };;force_persist = { source = "127.0.0.0/8" }"#,
    ),
    setting(
        "no_redispatch",
        "cookie SID insert indirect;;no option redispatch",
        r#"cookie = { name = "SID" };;redispatch = false"#,
    ),
    setting(
        DYNAMIC,
        "cookie SID insert indirect dynamic;;dynamic-cookie-key secret",
        r#"cookie = { name = "SID", dynamic = true };;dynamic_cookie_key = "secret""#,
    ),
    // Last: only the backup without a cookie is left.
    setting(BARE, "cookie SID insert indirect nocache", r#"cookie = { name = "SID", nocache = true }"#),
];

/// The backend whose servers get their cookies from their addresses.
pub(super) const DYNAMIC: &str = "dynamic";

/// The backend whose servers are all down but for the backup.
pub(super) const BARE: &str = "bare";

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Whole header lines.
    pub(super) cookies: Vec<String>,
    /// Fields of the answer, with `|` between them.
    pub(super) answer: &'static str,
}

/// What is asked of each backend.
pub(super) fn requests() -> Vec<Request> {
    const OWN: &str = "set-cookie: SID=own; path=/x; HttpOnly|set-cookie: other=1|etag: \"x\"";
    const ANSWERS: [&str; 4] =
        ["", OWN, "set-cookie: SID=; Expires=Thu, 01-Jan-1970 00:00:01 GMT", "cache-control: max-age=10"];
    let mut all = Vec::new();
    for cookies in cookies() {
        for answer in ANSWERS {
            all.push(Request { method: "GET", path: "/", cookies: cookies.clone(), answer });
        }
        for (method, path) in [("POST", "/"), ("GET", "/static/x"), ("HEAD", "/static/x")] {
            all.push(Request { method, path, cookies: cookies.clone(), answer: OWN });
        }
    }
    for answer in [
        "cache-control: private|etag: x",
        "cache-control: public, max-age=3",
        "cache-control: max-age=0|etag: x",
        "cache-control: max-age=0, s-maxage=3",
        "cache-control: no-store|cache-control: public|expires: x",
        "pragma: no-cache|etag: x",
        "last-modified: x",
        "expires: x|cache-control: no-cache=\"set-cookie\"",
    ] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            all.push(Request { method, path: "/", cookies: Vec::new(), answer });
        }
    }
    all
}

fn cookies() -> Vec<Vec<String>> {
    let lines = |values: &[&str]| values.iter().map(|value| format!("cookie: {value}")).collect::<Vec<_>>();
    let mut all: Vec<Vec<String>> = [
        &[][..],
        &["x=1"],
        &["SID"],
        &["SID="],
        &["SID=zz"],
        &["SID=\"A\""],
        &["sid=A; SIDX=A; XSID=A"],
        &["SID=A"],
        &["SID=B"],
        &["SID=D"],
        &["x=1; SID=B; y=2"],
        &["SID=B; SID=A"],
        &["SID=zz; SID=B"],
        &["SID=D; SID=B"],
        &["SID=zz; SID=D"],
        &["x=1", "SID=B"],
        &["SID=A", "SID=B; y=2"],
        &["$Version=1; SID=B; $Path=/; x=1"],
        &["SID=A~own"],
        &["SID=B~own; x=a~b"],
        &["SID=zz~own"],
        &["SID=D~own"],
        &["SID=~own"],
        &["SID=B|~abcDEF123456"],
    ]
    .into_iter()
    .map(lines)
    .collect();
    for dates in [
        "|0",
        "|10",
        "|50",
        "|500",
        "|-500",
        "|-90000",
        "|0|0",
        "|10|10",
        "|10|500",
        "|500|10",
        "|10|-90000",
        "||10",
        "||500",
        "|?????|10",
    ] {
        all.push(lines(&[&format!("SID=B{}", dated(dates))]));
    }
    all.push(lines(&[&format!("SID=A{}; SID=B", dated("|500"))]));
    all.push(lines(&[&format!("SID=A{}; SID=B{}", dated("|10"), dated("|500"))]));
    all
}

/// `|10|500`: dates ten and five hundred seconds ago, as HAProxy writes them.
fn dated(ages: &str) -> String {
    let date = |age: &str| {
        let Ok(age) = age.parse::<i64>() else { return age.to_owned() };
        let quads = clock::unix().as_secs().saturating_add_signed(-age).div_ceil(4);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..5).rev().map(|place| char::from(letters[(quads >> (6 * place) & 63) as usize])).collect()
    };
    ages.split('|').map(date).collect::<Vec<String>>().join("|")
}
