//! What programs send that people use with HAProxy, and what they read.

use super::*;

#[tokio::test]
async fn what_the_usual_clients_read_is_there() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    let csv = answer(&desk, &mut session, "show stat");
    let rows: Vec<&str> = csv.trim_end().lines().collect();
    let commas = |line: &str| line.matches(',').count();
    // Telegraf: as many columns in each row; the first is `# pxname`.
    assert!(rows.iter().all(|row| commas(row) == commas(rows[0])) && rows[0].starts_with("# pxname,svname,"));
    // hatop: at least 51 commas, and columns 0 to 50 in their order.
    assert!(commas(rows[0]) >= 51);
    // The exporter: nothing behind what it knows but numbers or nothing where it wants them.
    let a = columns(&csv, ("shop", "a"));
    for name in ["scur", "smax", "stot", "bin", "bout", "econ", "eresp", "wretr", "wredis", "weight", "act"] {
        assert!(a[name].parse::<u64>().is_ok(), "{name} is {}", a[name]);
    }
    // hatop ends with an error where one of these lacks.
    let info = answer(&desk, &mut session, "show info");
    for name in [
        "Name",
        "Version",
        "Release_date",
        "Nbproc",
        "Process_num",
        "Pid",
        "Uptime",
        "Maxconn",
        "CurrConns",
        "Maxpipes",
        "PipesUsed",
        "Tasks",
        "Run_queue",
        "node",
    ] {
        assert!(
            info.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": "))),
            "{name}"
        );
    }
    // Ansible wants a version of 1.5 or more, of two numbers.
    let version = info.lines().find_map(|line| line.strip_prefix("Version: ")).unwrap();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    assert_eq!((numbers.next(), numbers.next()), (Some(Ok(2)), Some(Ok(6))));
    // Datadog: two blocks between blank lines, and one colon in each line before Uptime_sec.
    let both = answer(&desk, &mut session, "show info;show stat\r");
    assert_eq!(both.trim_end().split("\n\n").count(), 2);
    let before = both.lines().take_while(|line| !line.starts_with("Uptime_sec"));
    assert!(before.into_iter().all(|line| line.matches(':').count() == 1));
}

/// What the module `community.general.haproxy` 12.0 has sent, with `drain`, `weight`, `shutdown_sessions`, `health` and
/// `agent`; behind each, what it waits for in the column `status`.
#[tokio::test]
async fn ansibles_module_drains_disables_and_enables() {
    let (desk, mut session) = (desk(), session(AdminLevel::Admin));
    for (sent, said, status) in [
        ("set server shop/a state drain", "\n", "DRAIN"),
        ("get weight shop/a; enable server shop/a; set weight shop/a 20", "10 (initial 10)\n\n\n\n", "UP"),
        (
            "get weight shop/a; disable server shop/a; shutdown sessions server shop/a",
            "20 (initial 10)\n\n\n\n",
            "MAINT",
        ),
        (
            "get weight shop/a; disable agent shop/a; disable health shop/a; disable server shop/a",
            "20 (initial 10)\n\n\n\n\n",
            "MAINT",
        ),
        ("get weight shop/a; enable server shop/a; enable health shop/a", "20 (initial 10)\n\n\n\n", "UP"),
    ] {
        assert_eq!(answer(&desk, &mut session, sent), said, "{sent}");
        let csv = answer(&desk, &mut session, "show stat");
        let seen = &columns(&csv, ("shop", "a"))["status"];
        assert!(seen.starts_with(status), "{sent}: {seen}");
    }
}
