//! Who asks, whether they say what they do with the answers, and who would take the users.

use std::time::Duration;

use super::Finding;
use crate::{
    balancers::{Key, Standing},
    control::api::Balancer,
    lifecycle::Level,
    report::Record,
};

/// An agent that runs for less may not have been asked by all.
const YOUNG: Duration = Duration::from_secs(30);

/// Who asks, and who of those that are expected is `absent`.
pub(super) fn who(balancers: &[Balancer], absent: &[String], uptime: Duration) -> Vec<Finding> {
    const ABOUT: &str = "balancers";
    let missing = |name: &String| {
        Finding::failure(
            ABOUT,
            format!("{name} is expected and has never asked: no drain is acknowledged without it"),
            "let it check the agent's port (`check port` in HAProxy), or take it out of balancers.expect",
        )
    };
    let mut findings: Vec<Finding> = absent.iter().map(missing).collect();
    if balancers.is_empty() {
        let text = format!("nobody has asked for the server's health since the agent began {uptime:.0?} ago");
        let cure = "let the balancer check the agent's port (in HAProxy: `server … check port 8404` and \
                    `option httpchk`), and see that no firewall is between";
        let young = uptime < YOUNG;
        findings.push(if young {
            Finding::warning(ABOUT, text, cure)
        } else {
            Finding::failure(ABOUT, text, cure)
        });
    }
    for balancer in balancers {
        let every = balancer.interval_seconds.map_or_else(String::new, |every| format!(" every {every:.1}s"));
        let called = called(balancer);
        findings.push(if balancer.gone {
            Finding::warning(
                ABOUT,
                format!("{called} asked{every}, but has not for {:.0}s", balancer.last_seconds),
                "see whether it is in maintenance, which stops its checks, or gone; a drain does not wait for it",
            )
        } else {
            Finding::ok(ABOUT, format!("{called} asks{every}, last {:.1}s ago", balancer.last_seconds))
        });
    }
    findings
}

/// Whether each says what it does with the answers.
pub(super) fn send_state(balancers: &[Balancer]) -> Vec<Finding> {
    const ABOUT: &str = "send_state";
    let one = |balancer: &Balancer| match &balancer.view {
        Some(view) => Finding::ok(ABOUT, format!("{} sends its state: {view}", called(balancer))),
        None => Finding::warning(
            ABOUT,
            format!(
                "{} does not send its state: answers are counted, and nothing is proved",
                called(balancer)
            ),
            "add `http-check send-state` to the backend in HAProxy",
        ),
    };
    balancers.iter().map(one).collect()
}

/// Whether each is known to understand a soft drain, by what it did with those before.
pub(super) fn soft(balancers: &[Balancer], records: &[Record]) -> Vec<Finding> {
    balancers.iter().map(|balancer| soft_of(balancer, records)).collect()
}

fn soft_of(balancer: &Balancer, records: &[Record]) -> Finding {
    const ABOUT: &str = "soft";
    let called = called(balancer);
    let key = Key { source: balancer.source, node: balancer.node.clone(), name: balancer.name.clone() };
    let acknowledgements = records.iter().rev().flat_map(|record| {
        record.acknowledgements.iter().map(move |acknowledgement| (record.drain, acknowledgement))
    });
    let last = acknowledgements
        .filter(|(_, one)| one.level == Level::Soft && one.source == key.source)
        .find(|(_, one)| one.node == key.node && one.name == key.name)
        .map(|(drain, one)| (drain, one.how));
    match last {
        Some((drain, Standing::Proven)) => {
            Finding::ok(ABOUT, format!("{called} has understood a soft drain: drain {drain}"))
        }
        Some((drain, Standing::TookForFailure)) => Finding::failure(
            ABOUT,
            format!("{called} took the soft drain {drain} for a failure and moved the users"),
            "add `http-check disable-on-404` to the backend in HAProxy",
        ),
        Some((drain, Standing::Answered)) => Finding::warning(
            ABOUT,
            format!("{called} was told of the soft drain {drain}; nothing shows whether it understood"),
            "add `http-check send-state` to the backend in HAProxy",
        ),
        Some((drain, Standing::Unproven)) => Finding::failure(
            ABOUT,
            format!("{called} went on as if nothing was said in the soft drain {drain}"),
            "see that its checks obey the answer (`option httpchk`, `http-check disable-on-404`), and that nobody \
             has drained the server there by hand",
        ),
        _ => Finding::warning(
            ABOUT,
            format!("{called} has never been seen to understand a soft drain"),
            "have `http-check disable-on-404` in the backend; `drainctl soft && drainctl up` at a quiet hour shows it",
        ),
    }
}

/// Whether others would take the users, as the guard sees it.
pub(super) fn others(balancers: &[Balancer]) -> Vec<Finding> {
    // Neither the guard nor a drain looks at those that do not ask any more.
    balancers.iter().filter(|balancer| !balancer.gone).map(others_of).collect()
}

fn others_of(balancer: &Balancer) -> Finding {
    const ABOUT: &str = "others";
    let called = called(balancer);
    let cure = "see to the other servers, or let a drain of the last one pass with drain.min_remaining = 0 or --force";
    match (&balancer.too_few, balancer.remaining) {
        (Some(why), _) => Finding::failure(ABOUT, format!("a drain would be refused: {why}"), cure),
        (None, None) => Finding::warning(
            ABOUT,
            format!(
                "{called} does not say which weight others have: a drain of the last server is not refused for its sake"
            ),
            "add `http-check send-state` to the backend in HAProxy, which says it",
        ),
        (None, Some(0)) => {
            Finding::warning(ABOUT, format!("{called} has no other server that takes users"), cure)
        }
        (None, Some(others)) => {
            Finding::ok(ABOUT, format!("{called} has a weight of {others} without this server"))
        }
    }
}

fn called(balancer: &Balancer) -> String {
    match (&balancer.node, &balancer.name) {
        (Some(node), Some(name)) => format!("{node} ({name}, {})", balancer.source),
        (Some(one), None) | (None, Some(one)) => format!("{one} ({})", balancer.source),
        (None, None) => balancer.source.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Level as Verdict, *};
    use crate::{
        balancers::Table,
        clock::Moment,
        health::{Check, Way},
        report::Acknowledgement,
    };

    fn balancer() -> Balancer {
        Balancer {
            source: [10, 0, 0, 2].into(),
            node: Some("lb1".into()),
            name: Some("shop/web1".into()),
            since_unix: 1000,
            interval_seconds: Some(0.5),
            last_seconds: 0.2,
            answer: 200,
            view: Some("UP".into()),
            weight: Some("1/3".into()),
            scur: Some(0),
            users: None,
            acknowledged: false,
            why: "nothing is announced".into(),
            gone: false,
            remaining: Some(2),
            too_few: None,
            alone: false,
        }
    }

    fn record(drain: u64, how: Standing) -> Record {
        let text = format!(
            r#"{{"drain":{drain},"server":"s","asked_unix":1,"what":"soft","then":null,"origin":"agent","reason":null,
            "outcome":null,"text":"","ended_at":null,"steps":[],"acknowledgements":[],"traffic":[],"cut":null,
            "restarts":[],"ready_at":null,"users_back_at":null,"agent_restarts":0}}"#
        );
        let Balancer { source, node, name, .. } = balancer();
        let acknowledgement = Acknowledgement { at: 1.0, level: Level::Soft, source, node, name, how };
        Record { acknowledgements: vec![acknowledgement], ..serde_json::from_str(&text).unwrap() }
    }

    fn levels(findings: &[Finding]) -> Vec<Verdict> {
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn who_asks_is_told_and_who_is_missed() {
        let of = |balancers: &[Balancer], absent: &[&str], uptime: Duration| {
            let absent: Vec<String> = absent.iter().map(ToString::to_string).collect();
            levels(&who(balancers, &absent, uptime))
        };
        let long = Duration::from_hours(1);
        assert_eq!(of(&[balancer()], &["lb2"], long), [Verdict::Failure, Verdict::Ok]);
        assert_eq!(of(&[balancer()], &[], long), [Verdict::Ok]);
        assert_eq!(of(&[], &[], long), [Verdict::Failure]);
        assert_eq!(of(&[], &[], Duration::from_secs(3)), [Verdict::Warning], "just begun");
        let silent = Balancer { last_seconds: 6.0, gone: true, ..balancer() };
        assert_eq!(of(&[silent], &[], long), [Verdict::Warning]);
    }

    #[test]
    fn one_without_the_header_gets_its_cure() {
        assert_eq!(levels(&send_state(&[balancer()])), [Verdict::Ok]);
        let found = send_state(&[Balancer { view: None, ..balancer() }]);
        assert_eq!(levels(&found), [Verdict::Warning]);
        assert!(found[0].cure.as_ref().unwrap().contains("http-check send-state"));
    }

    #[test]
    fn the_last_soft_drain_tells_whether_404_is_understood() {
        let of = |records: &[Record]| soft(&[balancer()], records)[0].level;
        assert_eq!(of(&[]), Verdict::Warning, "never seen");
        assert_eq!(of(&[record(1, Standing::Proven)]), Verdict::Ok);
        assert_eq!(of(&[record(1, Standing::Proven), record(2, Standing::TookForFailure)]), Verdict::Failure);
        assert_eq!(of(&[record(1, Standing::TookForFailure), record(2, Standing::Proven)]), Verdict::Ok);
        assert_eq!(of(&[record(1, Standing::Answered)]), Verdict::Warning);
        assert_eq!(of(&[record(1, Standing::Gone)]), Verdict::Warning);
        let other = Balancer { node: Some("lb9".into()), ..balancer() };
        assert_eq!(soft(&[other], &[record(1, Standing::Proven)])[0].level, Verdict::Warning);
    }

    #[test]
    fn the_last_server_is_found_before_its_drain_is_refused() {
        let shown = |headers: &[String], least: &str| {
            let text = format!(
                "listen = '127.0.0.1:1'\nserver.ports = [80]\nrestart.command = ['true']\ndrain.min_remaining = {least}"
            );
            let config = crate::config::Config::parse("f", &text, Some("s")).unwrap();
            let mut table = Table::new(config.balancers, 3, Moment::default());
            for header in headers {
                let check = Check {
                    at: Moment::default(),
                    source: ([10, 0, 0, 2], 5).into(),
                    state: Some(header.clone()),
                    status: 200,
                    generation: 0,
                    way: Way::Http,
                    asks: None,
                };
                table.observe(&check, 0);
            }
            others(&table.shown(config.drain.min_remaining, Moment::default()))[0].level
        };
        let of = |weight: Option<&str>, view: &str, least| {
            let weight = weight.map(|weight| format!("; weight={weight}")).unwrap_or_default();
            shown(&[format!("{view}{weight}")], least)
        };
        assert_eq!(of(Some("1/3"), "UP", "1"), Verdict::Ok);
        assert_eq!(of(Some("1/1"), "UP", "1"), Verdict::Failure);
        assert_eq!(of(Some("1/1"), "UP", "0"), Verdict::Warning);
        assert_eq!(of(Some("1/1"), "NOLB", "1"), Verdict::Ok, "the total is that of the others");
        assert_eq!(of(Some("10/40"), "UP", "'76%'"), Verdict::Failure);
        assert_eq!(of(None, "UP", "1"), Verdict::Warning);
        let two_are_out = ["UP; weight=1/4", "UP; weight=1/2"].map(str::to_owned);
        assert_eq!(shown(&two_are_out, "'50%'"), Verdict::Failure, "of those that there were");
    }
}
