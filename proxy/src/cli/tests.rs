use super::*;

fn ask(line: &str) -> Result<(Start, String), Said> {
    decide(line.split(' ').map(OsString::from), false)
}

#[test]
fn nothing_at_all_is_wrong_usage() {
    assert_eq!(ask("drain-proxy").unwrap_err().code(), ExitCode::from(USAGE));
    assert_eq!(ask("drain-proxy -f a check b").unwrap_err().code(), ExitCode::from(USAGE));
}

#[test]
fn help_and_version_succeed() {
    for line in ["drain-proxy --help", "drain-proxy --version", "drain-proxy check --help", "drain-proxy -vv"]
    {
        assert_eq!(ask(line).unwrap_err().code(), ExitCode::SUCCESS);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for line in [
        "drain-proxy check /nonexistent/x.toml",
        "drain-proxy -f /nonexistent/x.toml",
        "drain-proxy import /nonexistent/x.toml",
    ] {
        let Said::Error(text) = ask(line).unwrap_err() else { panic!("an error") };
        assert!(text.contains("/nonexistent/x.toml"), "{text}");
    }
}

#[test]
fn check_says_what_a_valid_file_does() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop.toml");
    let Said::Output { text, .. } = ask(&format!("drain-proxy check {file}")).unwrap_err() else {
        panic!("no error")
    };
    assert_eq!(text, format!("{file} is valid: web on 0.0.0.0:80 to 3 servers of shop"));
}

const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/haproxy/old.cfg");

#[test]
fn what_starts_haproxy_starts_this() {
    let line = format!("drain-proxy -d -db -W -q -f {OLD} -p /run/x.pid -sf 12 13 -st 14");
    let (start, warnings) = ask(&line).unwrap();
    assert_eq!((start.finish, start.terminate), (vec![12, 13], vec![14]));
    // Who takes over has the arguments of the one before.
    for word in BACKGROUND {
        assert!(ask(&format!("{line} {word}")).unwrap().0.background, "{word}");
    }
    assert!(!ask(&format!("{line} -x /dev/null")).unwrap().0.beside);
    let (start, warnings_of_x) = ask(&format!("{line} -x /run/x.sock")).unwrap();
    assert!(start.beside && warnings_of_x.contains("'-x' : listening sockets"), "{warnings_of_x}");
    // Debian's unit.
    let (start, said) =
        ask(&format!("drain-proxy -Ws -f {OLD} -p /run/haproxy.pid -S /run/haproxy-master.sock")).unwrap();
    assert_eq!(start.pid_file, Some("/run/haproxy.pid".into()));
    assert!(said.contains("'-S' is ignored: there is no master process"), "{said}");
    let Said::Output { text, .. } =
        ask(&format!("drain-proxy -Ws -f {OLD} -c -q -S /run/haproxy-master.sock")).unwrap_err()
    else {
        panic!("no error")
    };
    assert_eq!(text, "Configuration file is valid");
    let Said::Error(text) = ask(&format!("drain-proxy -dW -f {OLD}")).unwrap_err() else {
        panic!("an error")
    };
    assert!(text.contains("-dW bears none"), "{text}");
    let (start, _) = ask(&format!("{line} {TAKE_OVER}")).unwrap();
    assert_eq!((start.finish, start.terminate), (vec![], vec![]));
    assert_eq!((start.pid_file, start.files), (Some("/run/x.pid".into()), vec![PathBuf::from(OLD)]));
    assert!(warnings.starts_with("[WARNING]  ("), "{warnings}");
}

#[test]
fn a_check_and_a_condition_answer_as_haproxys() {
    let Said::Output { text, .. } = ask(&format!("drain-proxy -c -f {OLD}")).unwrap_err() else {
        panic!("no error")
    };
    assert_eq!(text, "Configuration file is valid");
    for (condition, code) in [("streq(a,a)", 0), ("feature(OPENSSL)", 1), ("foo(", NO_CONDITION)] {
        let said = ask(&format!("drain-proxy -cc {condition}")).unwrap_err();
        assert_eq!(said.code(), ExitCode::from(code), "{condition}");
    }
}

#[test]
fn a_toml_file_beside_a_haproxy_cfg_says_how_it_is_administered() {
    let directory = std::env::temp_dir().join(format!("drain-proxy-beside-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("admin.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let line = format!("drain-proxy -f {OLD} -f {}", file.display());
    write("[admin]\nlisten = \"127.0.0.1:8404\"\nsocket = \"/run/x.sock\"\n");
    let admin = ask(&line).unwrap().0.config.admin;
    assert!(admin.port.is_some() && admin.sockets.len() == 1);
    write("[frontend.x]\n");
    assert_eq!(ask(&line).unwrap_err().code(), ExitCode::from(INVALID));
    let Said::Error(text) = ask(&format!("{line} -f {}", file.display())).unwrap_err() else {
        panic!("an error")
    };
    assert!(text.contains("several TOML files"), "{text}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_import_is_a_configuration() {
    let Said::Output { text, beside } = ask(&format!("drain-proxy import {OLD}")).unwrap_err() else {
        panic!("no error")
    };
    assert!(beside.contains("'daemon' is ignored") && beside.ends_with(" to look at.\n"), "{beside}");
    let nobody = |_: &str, _: u16| Err(std::io::ErrorKind::NotFound.into());
    assert!(Config::parse("x.toml", &text, &nobody).is_ok(), "{text}");
}

#[test]
fn the_command_line_is_sound() {
    use clap::CommandFactory;
    CommandLine::command().debug_assert();
}
