//! Where lines go, and in which form.

use super::*;

#[test]
fn logs_have_haproxys_words() {
    let text = r#"
        [backend.shop]
        server = { name = "s", address = "10.0.0.1:80" }
        [frontend.web]
        bind = ["0.0.0.0:80"]
        backend = "shop"
        log = [
            { target = "stderr" },
            { target = "syslog://known.example", format = "tcp" },
            { target = "syslog://127.0.0.1:5514", format = "clf", header = "rfc5424", facility = "cron2", level = "notice",
              min_level = "err", tag = "shop", hostname = "lb1", length = 8192 },
            { target = "syslog:///dev/log" },
        ]
        capture_request_headers = [{ name = "Host", length = 40 }, { name = "Referer", length = 60 }]
        capture_response_headers = { name = "Server", length = 10 }
        capture_cookie = { name = "SESSION=", length = 32 }
        dontlognull = true
        dontlog_normal = true
        log_separate_errors = true"#;
    let Logging { logs, captures, dontlognull, dontlog_normal, separate_errors } =
        parse(text).unwrap().frontends.remove(0).logging;
    let targets: Vec<_> =
        logs.iter().map(|log| (log.format.clone(), log.target.clone(), log.length)).collect();
    let udp = |address: &str| LogTarget::Udp(address.parse().unwrap());
    assert_eq!(
        targets,
        [
            (LogFormat::Http, LogTarget::Stderr, 1024),
            (LogFormat::Tcp, udp("192.0.2.7:514"), 1024),
            (LogFormat::Clf, udp("127.0.0.1:5514"), 8192),
            (LogFormat::Http, LogTarget::Unix("/dev/log".into()), 1024),
        ]
    );
    assert_eq!(logs[0].syslog, None);
    let standard = logs[1].syslog.clone().unwrap();
    assert_eq!((standard.header, standard.facility), (SyslogHeader::Rfc3164, 16));
    assert_eq!((standard.level, standard.min_level), (Level::Info, Level::Emerg));
    assert_eq!((&*standard.tag, standard.hostname), ("drain-proxy", None));
    let all = logs[2].syslog.clone().unwrap();
    assert_eq!((all.header, all.facility), (SyslogHeader::Rfc5424, 15));
    assert_eq!((all.level, all.min_level), (Level::Notice, Level::Err));
    assert_eq!((&*all.tag, all.hostname.as_deref()), ("shop", Some("lb1")));
    let names =
        |list: &[Capture]| list.iter().map(|one| (one.name.to_string(), one.length)).collect::<Vec<_>>();
    assert_eq!(names(&captures.request_headers), [("Host".to_owned(), 40), ("Referer".to_owned(), 60)]);
    assert_eq!(names(&captures.response_headers), [("Server".to_owned(), 10)]);
    assert_eq!(names(captures.cookie.as_slice()), [("SESSION=".to_owned(), 32)]);
    assert!(dontlognull && dontlog_normal && separate_errors);
}
