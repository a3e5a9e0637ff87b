//! nginx: it asks nobody and finds out by failing requests.

use std::fs;

use drain_tests::Apache;

use super::{Shop, nothing, recipe_with};

/// Users that there are at once: so many requests can be in flight when the server goes.
const USERS: usize = 8;

#[test]
fn a_restart_behind_nginx_hurts_nobody_but_who_is_in_flight() {
    // Nobody asks, so nobody is waited for; and nginx goes on sending, so that it never becomes quiet.
    let mut shop = Shop::new("recipe_nginx", nothing, |agent| {
        agent.acknowledge("500ms", "proceed").hard_limit("1s", "restart").expecting("10.9.9.9")
    });
    let replaced = [
        ("listen 80;", format!("listen {};", shop.entrance)),
        ("10.0.0.11:80", shop.apaches[0].address().to_string()),
        ("10.0.0.12:80", shop.apaches[1].address().to_string()),
    ];
    let dir = shop.place.subdir("balancer");
    let text = recipe_with("nginx", &replaced);
    let shown = dir.display();
    let user = if rustix::process::geteuid().is_root() { "user www-data;\n" } else { "" };
    let config = format!(
        "{user}daemon off;\npid {shown}/nginx.pid;\nevents {{ }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {shown}/body;\nproxy_temp_path {shown}/proxy;\nfastcgi_temp_path {shown}/fastcgi;\n\
         uwsgi_temp_path {shown}/uwsgi;\nscgi_temp_path {shown}/scgi;\n{text}}}\n"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, config).expect("write nginx.conf");
    let mut command = shop.place.command("nginx");
    command.arg("-p").arg(&dir).arg("-c").arg(&file).args(["-e", "stderr"]);
    let _nginx =
        shop.behind("balancer", command, |line| line.contains("[emerg]") || line.contains("[alert]"));
    // Apache kills what does not end in time, for nginx still sends when it is stopped: a script may not even have begun;
    // and what would keep a connection open finds everything closed.
    shop.apaches[0].expect_error("AH00046");
    shop.apaches[0].expect_error("failed reading PID from cgi daemon");
    shop.apaches[0].expect_error("AH03093");
    let tally = shop.restart_under_load();
    let failures = tally.failures();
    shop.place.check(failures.len() <= USERS, &format!("{}: {failures:#?}", tally.summary()));
    let orders = tally.compare_orders(shop.apaches.iter().flat_map(Apache::orders));
    shop.place.check(orders.is_none(), &format!("none is lost, or taken twice: {orders:?}"));
}
