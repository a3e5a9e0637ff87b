//! Whatever a file holds, it is read or refused.

use proptest::prelude::*;

use super::parse;

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Err(invalid) = parse(&text) {
            prop_assert!(!invalid.mistakes().is_empty());
            prop_assert!(!invalid.render(true).is_empty());
        }
    }

    #[test]
    fn no_value_of_any_key_makes_it_panic(
        key in prop::sample::select(vec![
            "listen", "state", "answers", "answers.soft", "server", "server.name", "server.ports", "server.ready",
            "server.ready.url", "server.ready.tcp", "server.ready.status", "server.ready.timeout", "restart.command",
            "restart.unit", "restart.how", "drain", "drain.soft.quiet", "drain.min_remaining", "balancers.expect", "balancers.trust",
            "control.socket", "control", "control.listen", "control.tls", "control.tls.cert", "control.token_file", "traffic", "traffic.access_log", "traffic.journal", "traffic.gauge",
            "traffic.gauge.url", "traffic.gauge.field", "agent_check", "agent_check.listen", "agent_check.weight",
            "agent_check.weight.cpu", "agent_check.weight.floor",
            "report", "report.history", "metrics.listen",
        ]),
        value in prop_oneof![
            Just("[]".to_owned()), Just("{}".to_owned()), Just("[[]]".to_owned()), Just("1979-05-27".to_owned()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}")),
            any::<bool>().prop_map(|b| b.to_string()),
            "[a-z0-9:/.%\\[\\]-]{0,12}".prop_map(|s| format!("'{s}'")),
            "\\PC{0,8}".prop_map(|s| format!("[1, {s:?}, {{ x = '' }}]")),
        ],
    ) {
        if let Err(invalid) = parse(&format!("{key} = {value}")) {
            prop_assert!(!invalid.mistakes().is_empty());
            prop_assert!(!invalid.render(false).is_empty());
        }
    }
}
