//! Each condition under which a response is continued, broken alone.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use drain_tests::{Apache, Nginx, PATIENCE, Place, Proxy};

use super::{FILM_BYTES, download::Download, film};

/// What the clients have when the server is killed.
const SEEN_BYTES: usize = 1_000_000;

/// What becomes of a response whose server has died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Continued,
    /// It ends there, and no other server is asked for the rest.
    Ends,
    /// Another server is asked, and what it sends is not the rest.
    Refused,
}

use Fate::{Continued, Ends, Refused};

/// A request, without its version and `Host`: method and target, more fields, the body.
type Case = (&'static str, &'static str, &'static str, Fate);

const OF_NGINX: [Case; 15] = [
    ("GET /film", "", "", Continued),
    ("GET /coded", "", "", Continued),
    ("GET /film?part", "Range: bytes=0-\r\n", "", Ends),
    ("GET /film?condition", "If-Range: \"v1\"\r\n", "", Ends),
    ("GET /film?body", "Content-Length: 3\r\n", "abc", Ends),
    ("GET /weak", "", "", Ends),
    ("GET /untagged", "", "", Ends),
    ("GET /whole_only", "", "", Ends),
    ("GET /zipped", "Accept-Encoding: gzip\r\n", "", Ends),
    ("GET /changed", "", "", Refused),
    ("GET /other_tag", "", "", Refused),
    ("GET /other_coding", "", "", Refused),
    ("GET /other_type", "", "", Refused),
    ("GET /other_range", "", "", Refused),
    ("GET /failing", "", "", Refused),
];

/// The `server` block of an nginx at this address; in `own` is its version of what has changed.
fn block(address: SocketAddr, folder: &Path, own: &Path) -> String {
    r#"root FOLDER;
        location = /health { return 200; }
        location = / { return 200; }
        location = /coded { alias FOLDER/film; add_header Content-Encoding br; }
        location = /weak { alias FOLDER/film; etag off; add_header ETag 'W/"v1"'; }
        location = /untagged { alias FOLDER/film; etag off; }
        location = /whole_only { alias FOLDER/film; max_ranges 0; }
        location = /zipped { alias FOLDER/film; gzip on; gzip_comp_level 1; gzip_types text/plain; }
        location = /changed { alias OWN/film; }
        # As a server does that takes no notice of If-Range.
        location = /other_tag {
            proxy_pass http://ADDRESS/changed;
            proxy_set_header If-Range "";
            proxy_max_temp_file_size 0;
        }
        location = /other_coding { alias FOLDER/film; if ($http_range) { rewrite ^ /coded last; } }
        location = /other_type { alias FOLDER/film; if ($http_range) { rewrite ^ /typed last; } }
        location = /typed { alias FOLDER/film; default_type video/mp4; }
        location = /other_range {
            set $range "";
            if ($http_range) { set $range "bytes=0-"; }
            proxy_pass http://ADDRESS/film;
            proxy_set_header Range $range;
            proxy_max_temp_file_size 0;
        }
        location = /failing { alias FOLDER/film; if ($http_range) { return 503; } }"#
        .replace("ADDRESS", &address.to_string())
        .replace("FOLDER", &folder.display().to_string())
        .replace("OWN", &own.display().to_string())
}

#[test]
fn each_condition_is_needed_before_nginx() {
    let place = Place::new("resume_conditions_nginx");
    let (folder, bytes) = film(&place);
    let mut servers = ["n1", "n2"].map(|name| {
        let own = place.public().join(name);
        fs::create_dir_all(&own).expect("a folder for what has changed");
        match name {
            "n1" => fs::hard_link(folder.join("film"), own.join("film")).expect("publish the film"),
            _ => another_version(&own.join("film")),
        }
        let nginx = Nginx::new(&place, name);
        let block = block(nginx.address(), &folder, &own);
        nginx.saying(&block).start()
    });
    // To itself, when it is killed.
    servers[0].child().expect_error("upstream prematurely closed connection");
    let proxy =
        servers.iter().fold(proxy(&place), |proxy, nginx| proxy.server(nginx.name(), nginx.address(), None));
    let [first, _] = &mut servers;
    check(&place, proxy.start(), &bytes, &OF_NGINX, ("n1", || first.crash()));
}

const OF_APACHE: [Case; 9] = [
    ("GET /film", "", "", Continued),
    ("GET /cgi/film", "", "", Continued),
    ("POST /film", "Content-Length: 3\r\n", "abc", Ends),
    ("GET /cgi/film?no_length", "", "", Ends),
    ("GET /cgi/film?other_status", "", "", Ends),
    ("GET /cgi/film?rest_without_length", "", "", Refused),
    ("GET /cgi/film?rest_of_another_length", "", "", Refused),
    ("GET /two_parts", "", "", Refused),
    ("GET /out_of_range", "", "", Refused),
];

/// Sends the film, and is wrong in what its query names.
const SCRIPT: &str = r#"#!/bin/sh
first=${HTTP_RANGE#bytes=}
first=${first%-}
length=LENGTH
printf 'Content-Type: text/plain\r\nETag: "v1"\r\nAccept-Ranges: bytes\r\n'
if [ -n "$first" ]; then
    complete=$length
    if [ "$QUERY_STRING" = rest_of_another_length ]; then complete=$((length + 1)); fi
    printf 'Status: 206\r\nContent-Range: bytes %s-%s/%s\r\n' "$first" $((length - 1)) "$complete"
    if [ "$QUERY_STRING" != rest_without_length ]; then
        printf 'Content-Length: %s\r\n' $((length - first))
    fi
else
    if [ "$QUERY_STRING" = other_status ]; then printf 'Status: 203\r\n'; fi
    if [ "$QUERY_STRING" != no_length ]; then printf 'Content-Length: %s\r\n' "$length"; fi
fi
printf '\r\n'
exec tail -c +$((first + 1)) FILM
"#;

/// What Apache makes of a range is decided by what these have written into the request.
const RANGES: &str = r#"
# The length that a script tells is taken for true.
<Location "/cgi/film">
    SetEnv ap_trust_cgilike_cl 1
</Location>
<Location "/two_parts">
    <If "-n req('Range')">
        RequestHeader set Range "bytes=1000000-2000000,3000000-"
    </If>
</Location>
<Location "/out_of_range">
    <If "-n req('Range')">
        RequestHeader set Range "bytes=100000000-"
    </If>
</Location>
"#;

#[test]
fn each_condition_is_needed_before_apache() {
    let place = Place::new("resume_conditions_apache");
    let (folder, bytes) = film(&place);
    let film = folder.join("film");
    let mut servers = ["a1", "a2"].map(|name| {
        let apache = Apache::new(&place, name).with(RANGES);
        for page in ["film", "two_parts", "out_of_range"] {
            fs::hard_link(&film, apache.pages().join(page)).expect("publish the film");
        }
        let script = apache.pages().with_file_name("cgi").join("film");
        let text =
            SCRIPT.replace("LENGTH", &FILM_BYTES.to_string()).replace("FILM", &film.display().to_string());
        fs::write(&script, text).expect("write the script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make it executable");
        apache.start()
    });
    let proxy = servers
        .iter()
        .fold(proxy(&place), |proxy, apache| proxy.server(apache.name(), apache.address(), None));
    let [first, _] = &mut servers;
    check(&place, proxy.start(), &bytes, &OF_APACHE, ("a1", || first.crash()));
}

/// As long, but not the same.
fn another_version(file: &Path) {
    let file = fs::File::create(file).expect("create another version");
    file.set_len(FILM_BYTES as u64).expect("a long file");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("an old file");
}

/// One whose users' cookies lead to the first server, and who ask the second one when that has died.
fn proxy(place: &Place) -> Proxy {
    Proxy::new(place, "proxy").backend_line("retry_interval = \"100ms\"")
}

/// Has the server that `kill` names and ends send all of these, and looks at what their clients have in the end.
fn check(place: &Place, mut proxy: Proxy, film: &[u8], cases: &[Case], kill: (&str, impl FnOnce())) {
    let (first, kill) = kill;
    proxy.child().expect_error(" is DOWN");
    let begin = |&(line, fields, body, _): &Case| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: shop\r\nCookie: SERVERID={first}\r\n{fields}\r\n{body}");
        Download::begin(proxy.address(), &request, SEEN_BYTES)
    };
    let begun: Vec<Download> = cases.iter().map(begin).collect();
    let heads: Vec<String> = begun.iter().map(|download| download.head.clone()).collect();
    kill();
    thread::scope(|scope| {
        let finish = |(case, download)| scope.spawn(move || finish(case, download, film));
        let all: Vec<_> = cases.iter().zip(begun).map(finish).collect();
        for client in all {
            client.join().expect("a client that got what it should");
        }
    });
    for ((line, _, _, fate), head) in cases.iter().zip(heads) {
        let text = place.wait_for("a line of the log", PATIENCE, || {
            let log = proxy.access_log();
            log.lines().find(|text| text.contains(&format!("\"{line} "))).map(str::to_owned).ok_or(log)
        });
        let words: Vec<&str> = text.split(' ').collect();
        let end = words.iter().position(|word| *word == "-").map(|at| words[at + 2]).expect("a state");
        // The times have as many parts.
        let counts = words.iter().rfind(|word| word.matches('/').count() == 4).expect("counts");
        let tried_again = !counts.ends_with("/0");
        let broken = ["SD", "PD"].contains(&&end[..2]);
        assert_eq!((broken, tried_again), (*fate != Continued, *fate != Ends), "{line}: {text}\n{head}");
    }
}

/// What the client of one of them has.
fn finish(case: &Case, download: Download, film: &[u8]) {
    let (line, _, _, fate) = case;
    let head = download.head.clone();
    let (chunked, coded) =
        (head.contains("Transfer-Encoding: chunked\r\n"), head.contains("Content-Encoding: gzip\r\n"));
    let body = download.finish();
    if chunked {
        assert!(!body.ends_with(b"\r\n0\r\n\r\n"), "{line}: broken off, and ended as if it were whole");
        return;
    }
    assert!(!coded, "{line}: {head}");
    assert_eq!(body.len() == FILM_BYTES, *fate == Continued, "{line}: {} bytes", body.len());
    assert!(film.starts_with(&body), "{line}: {} bytes, not those of the film", body.len());
}
