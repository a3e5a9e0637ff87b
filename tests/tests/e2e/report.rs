//! What is told of a drain afterwards, and before it: history, doctor and metrics of a real restart.

use std::{cell::Cell, fs};

use drain_agent::{
    balancers::Standing,
    control::api::{Diagnosis, Outcome, Record},
    doctor,
    lifecycle::{Level, Stage},
};
use drain_tests::{Load, PATIENCE, Place, client::Connection, place::holds, port};

use crate::farm::{self, Farm};

#[test]
fn a_restart_is_told_from_its_request_to_the_return_of_the_users() {
    let place = Place::new("report");
    let metrics = [port::free(), port::free()];
    let next = Cell::new(0);
    let farm = Farm::new(&place, 2, |agent| agent.with_metrics(metrics[next.replace(1)]));
    let balancer = farm.behind_haproxy("lb", |lb| lb);
    let agent = &farm.agents[0];
    let load = Load::on(balancer.address()).start();
    farm::let_run(&place, &load, 50);

    let config = balancer.config_file();
    let text = |words: &[&str]| String::from_utf8_lossy(&agent.ctl(words).stdout).into_owned();
    let before = agent.ctl(&["doctor", "--haproxy-cfg", &config.display().to_string()]);
    let said = String::from_utf8_lossy(&before.stdout).into_owned();
    place.check(before.status.success(), &said);
    assert!(
        said.contains("lb (shop/s1, 127.0.0.1) has never been seen to understand a soft drain"),
        "{said}"
    );

    let restart = agent.ctl(&["restart", "--reason", "new release"]);
    place.check(restart.status.success(), &format!("{restart:?}"));
    let record: Record = place.wait_for("the users' return in the report", PATIENCE, || {
        let shown = text(&["--json", "history", "show", "1"]);
        let record: Record = serde_json::from_str(&shown).map_err(|error| format!("{error} in {shown}"))?;
        holds(record.users_back_at.is_some(), || format!("{record:#?}")).map(|()| record)
    });
    assert_eq!((record.outcome, record.reason.as_deref()), (Some(Outcome::Done), Some("new release")));
    for stage in [Stage::Soft, Stage::Hard, Stage::Restarting, Stage::Warming, Stage::Up] {
        assert!(record.entered(stage).is_some(), "{stage} in {record:#?}");
    }
    for level in [Level::Soft, Level::Hard] {
        let proven =
            record.acknowledgements.iter().any(|one| one.level == level && one.how == Standing::Proven);
        assert!(proven, "{level:?} in {record:#?}");
    }
    assert!(record.traffic.len() > 3 && record.cut.is_none(), "{record:#?}");
    assert_eq!(
        (record.restarts.len(), record.ready_at, record.ended_at),
        (1, record.ended_at, record.ready_at)
    );
    let table = text(&["history"]);
    assert!(table.lines().count() == 2 && table.contains("new release"), "{table}");
    assert!(text(&["history", "show"]).contains("in flight, at most"), "{}", text(&["history", "show"]));

    let after: Diagnosis = serde_json::from_str(&text(&["doctor", "--json"])).expect("a diagnosis");
    let soft = after.findings.iter().find(|finding| finding.about == "soft").expect("a finding");
    assert_eq!(soft.level, doctor::Level::Ok, "{soft:?}");

    let mut scrape = Connection::open(metrics[0]).expect("a connection");
    let page =
        scrape.fetch("GET", "/metrics", &["Accept: application/openmetrics-text"], b"").expect("an answer");
    let page = String::from_utf8(page.body.clone()).expect("text");
    for line in
        ["drain_agent_drains_total{outcome=\"done\"} 1", "drain_agent_restarts_total{result=\"done\"} 1"]
    {
        assert!(page.lines().any(|own| own == line), "{line} in\n{page}");
    }
    assert!(page.contains("drain_agent_answers_total{code=\"404\",balancer=\"127.0.0.1\"}"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    load.finish().assert_nobody_hurt(&place, farm.orders());
}

#[test]
fn the_doctor_finds_what_would_go_wrong() {
    let place = Place::new("doctor");
    let farm = Farm::new(&place, 1, |agent| agent.restarting_by(vec!["/no/such/command".to_owned()]));
    let _balancer = farm.behind_haproxy("lb", |lb| lb);
    let file = place.public().join("spoiled.cfg");
    fs::write(
        &file,
        "backend shop\n  option httpchk\n  option persist\n  server s1 10.0.0.1:80 check port 1\n",
    )
    .expect("write the file");
    let out = farm.agents[0].ctl(&["doctor", "--haproxy-cfg", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    place.check(out.status.code() == Some(1), &said);
    let place = file.display();
    for finding in [
        "there is no /no/such/command".to_owned(),
        "a drain would be refused: lb (shop/s1, 127.0.0.1) has a weight of 0 left".to_owned(),
        format!("{place}:3: backend shop sends users with a cookie to a server that is DOWN"),
        format!("{place}:4: server shop/s1 is checked on port 1"),
        "cure: add `http-check disable-on-404`".to_owned(),
    ] {
        assert!(said.contains(&finding), "{finding:?} in\n{said}");
    }
}
