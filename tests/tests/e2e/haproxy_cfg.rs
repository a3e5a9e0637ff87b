//! One haproxy.cfg, read by a real HAProxy and by drain-proxy: what clients get and what servers are asked must be the
//! same.

use std::net::SocketAddr;

use drain_tests::{PATIENCE, Place, child::Child, client::Connection, place::holds, port, scripted, twin};

/// The configuration of an old installation, as it stands.
const OLD: &str = include_str!("../../../proxy/src/config/haproxy/old.cfg");

/// What newer configurations have: rules, and several backends behind a frontend.
const RULES: &str = "
frontend rules
    bind RULES
    acl static path_beg /static /images
    acl office src 127.0.0.0/8
    monitor-uri /monitor
    http-request deny if { path_beg /secret } !{ hdr(x-key) open }
    http-request deny deny_status 429 if { path_end .slow }
    http-request redirect location /new%[path] code 301 if { path_beg /old }
    http-request redirect scheme https if { hdr_dom(host) -i secure.example }
    http-request return status 200 content-type text/plain string hello if { path /hello }
    http-request set-header X-Client %[src] if office
    http-request add-header X-Client more unless office
    http-request del-header X-Gone
    http-request replace-header X-Name (.*)old(.*) \\1new\\2
    http-request set-path /moved%[path] if { path_beg /rewrite }
    http-response set-header X-Proxy yes
    http-response del-header X-Server if { status 200 }
    use_backend pictures if static
    default_backend words

backend pictures
    http-request set-header X-Backend pictures
    server p PICTURES

backend words
    server w WORDS
";

/// Programs that run one configuration.
struct Both {
    _programs: [Child; 2],
    /// Of each: the old installation's port, and that of the rules.
    addresses: [[SocketAddr; 2]; 2],
}

impl Both {
    fn start(place: &Place, servers: &[SocketAddr]) -> Self {
        let addresses = [[port::free(), port::free()], [port::free(), port::free()]];
        let programs = [0, 1].map(|which| {
            let [old, rules] = addresses[which];
            let mut text = format!("{OLD}{RULES}")
                .replace("127.0.0.1:8080", &old.to_string())
                .replace("RULES", &rules.to_string())
                .replace("PICTURES", &servers[0].to_string())
                .replace("WORDS", &servers[1].to_string());
            for (number, server) in ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"].iter().zip(servers)
            {
                text = text.replace(number, &server.to_string());
            }
            if which == 0 {
                // For these it would have to be root, and have a directory.
                let needs_root = |line: &&str| {
                    let words = ["daemon", "user", "group", "chroot", "ulimit-n"];
                    !words.iter().any(|word| line.trim_start().starts_with(word))
                };
                text = text.lines().filter(needs_root).map(|line| format!("{line}\n")).collect();
            }
            twin::run(place, twin::PROGRAMS[which], &text)
        });
        let both = Self { _programs: programs, addresses };
        for address in both.addresses.as_flattened() {
            place.wait_for("both to serve", PATIENCE, || {
                let answer = ask(*address, "GET /ready HTTP/1.1\r\nhost: h\r\ncookie: SERVERID=s1\r\n")?;
                holds(answer.starts_with("200"), || answer.clone())
            });
        }
        both
    }

    /// What both say to a request at one of the two ports.
    fn ask(&self, which: usize, request: &str) -> [String; 2] {
        self.addresses.map(|of| ask(of[which], request).unwrap_or_else(|error| error))
    }
}

/// Status, fields in the order of the alphabet, and body, in small letters: HAProxy writes fields' names so.
fn ask(address: SocketAddr, request: &str) -> Result<String, String> {
    let method = request.split(' ').next().unwrap_or_default();
    let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
    connection.send(format!("{request}\r\n").as_bytes()).map_err(|error| error.to_string())?;
    let got = connection.receive(method).map_err(|error| error.to_string())?;
    let mut fields: Vec<_> =
        got.headers.iter().map(|(name, value)| format!("{}: {value}\n", name.to_lowercase())).collect();
    fields.sort();
    let body = String::from_utf8_lossy(&got.body).to_lowercase();
    Ok(format!("{}\n{}\n{body}", got.status, fields.concat()))
}

/// A server that answers with its name and what it was asked.
fn echo(name: &'static str) -> SocketAddr {
    scripted::start(move |request, connection| {
        let body = if request.head.starts_with("HEAD") {
            String::new()
        } else {
            format!("{name}\n{}", request.head)
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nx-server: {name}\r\ncontent-length: {length}\r\n\r\n{body}");
        connection.send(answer.as_bytes()).ok()
    })
}

#[test]
fn a_haproxy_cfg_means_what_it_means_to_haproxy() {
    let place = Place::new("haproxy_cfg");
    let servers = ["s1", "s2", "s3"].map(echo);
    let both = Both::start(&place, &servers);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, [haproxy, ours]: [String; 2]| {
        if haproxy != ours {
            wrong.push(format!("{what}\nHAProxy:\n{haproxy}\ndrain-proxy:\n{ours}"));
        }
    };
    for request in [
        "GET /a?b HTTP/1.1\r\nhost: h\r\ncookie: SERVERID=s1\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\ncookie: a=b; SERVERID=s2; c=d\r\nx-forwarded-for: 192.0.2.1\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncookie: SERVERID=s2\r\ncontent-length: 0\r\n",
        "HEAD / HTTP/1.1\r\nhost: h\r\ncookie: SERVERID=s1\r\n",
    ] {
        compare(request, both.ask(0, request));
    }
    // Who comes first may go to either.
    let new = "GET / HTTP/1.1\r\nhost: h\r\n";
    compare(new, both.ask(0, new).map(|answer| answer.replace("s2", "s1")));
    for request in [
        "GET / HTTP/1.1\r\nhost: h\r\nx-gone: 1\r\nx-name: an old one\r\n",
        "GET /static/a.png HTTP/1.1\r\nhost: h\r\n",
        "GET /images HTTP/1.1\r\nhost: h\r\nx-backend: mine\r\n",
        "GET /secret/a HTTP/1.1\r\nhost: h\r\n",
        "GET /secret/a HTTP/1.1\r\nhost: h\r\nx-key: open\r\n",
        "GET /a.slow HTTP/1.1\r\nhost: h\r\n",
        "GET /old/page?q=1 HTTP/1.1\r\nhost: h\r\n",
        "GET /page?q=1 HTTP/1.1\r\nhost: www.Secure.example\r\n",
        "GET /hello HTTP/1.1\r\nhost: h\r\n",
        "HEAD /hello HTTP/1.1\r\nhost: h\r\n",
        "GET /rewrite/me?x=%20 HTTP/1.1\r\nhost: h\r\n",
        "GET /monitor HTTP/1.1\r\nhost: h\r\n",
    ] {
        compare(request, both.ask(1, request));
    }
    // The numbers are each one's own.
    compare(
        "/lb-status;csv",
        both.ask(0, "GET /lb-status;csv HTTP/1.1\r\nhost: h\r\n").map(|answer| rows(&answer)),
    );
    compare("a form", both.ask(1, "POST /lb-status HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n"));
    place.check(wrong.is_empty(), &wrong.join("\n"));
}

/// Of statistics as CSV: the status and the type, the names of columns, and those of what is in the rows.
fn rows(answer: &str) -> String {
    let (head, csv) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let fields =
        head.lines().filter(|line| !line.starts_with("content-length") && !line.starts_with("transfer-"));
    let mut lines = csv.lines();
    let columns = lines.next().unwrap_or_default().split(",-,").next().unwrap_or_default();
    let mut names: Vec<_> = lines
        .map(|line| line.split(',').take(2).collect::<Vec<_>>().join("/"))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    format!("{}\n{columns}\n{}", fields.collect::<Vec<_>>().join("\n"), names.join("\n"))
}
