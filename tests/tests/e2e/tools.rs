//! The programs with which people measure, through the proxy: they find fault with what browsers forgive.

use drain_tests::{Nginx, Place, Proxy, child::output};

/// What such a program prints about a run through the proxy.
fn run(place: &Place, program: &str, arguments: &[&str], proxy: &Proxy) -> String {
    let mut command = place.command(program);
    command.args(arguments).arg(format!("http://{}/page", proxy.address()));
    let said = output(command);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    place.check(said.status.success(), &format!("{program}: {said:?}"));
    text
}

#[test]
fn ab_h2load_and_wrk_find_no_fault() {
    let place = Place::new("tools");
    let servers = ["s1", "s2"].map(|name| Nginx::new(&place, name).start());
    let proxy = Proxy::new(&place, "lb")
        .server("s1", servers[0].address(), None)
        .server("s2", servers[1].address(), None)
        .start();
    for keep_alive in [&["-k"][..], &[]] {
        let arguments = [&["-n", "1000", "-c", "8"], keep_alive].concat();
        let text = run(&place, "ab", &arguments, &proxy);
        let said = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        assert_eq!(said("Complete requests:").as_deref(), Some("1000"), "{text}");
        assert_eq!(said("Failed requests:").as_deref(), Some("0"), "{text}");
        assert_eq!(said("Non-2xx responses:"), None, "{text}");
        if !keep_alive.is_empty() {
            assert_eq!(said("Keep-Alive requests:").as_deref(), Some("1000"), "{text}");
        }
    }
    let text = run(&place, "h2load", &["--h1", "-n", "1000", "-c", "8", "-t", "1"], &proxy);
    assert!(text.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
    assert!(text.contains("1000 2xx"), "{text}");
    let text = run(&place, "wrk", &["-t1", "-c8", "-d2s"], &proxy);
    assert!(text.contains(" requests in ") && !text.contains(" 0 requests in "), "{text}");
    assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
}
