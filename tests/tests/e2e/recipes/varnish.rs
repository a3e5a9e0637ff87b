//! Varnish: probes of the agents decide which of the servers is asked.

use std::fs;

use super::{Shop, nothing, recipe_with, told_by_answers};

#[test]
fn a_restart_behind_varnish_hurts_nobody() {
    let shop = Shop::new("recipe_varnish", nothing, told_by_answers);
    let mut replaced = Vec::new();
    for n in [0, 1] {
        let (written, ours) = (11 + n, 1 + n);
        let host = format!(r#"".host = "10.0.0.{written}"; .port = "#).trim_start_matches('"').to_owned();
        for (port, address) in [("8404", shop.agents[n].address()), ("80", shop.apaches[n].address())] {
            replaced.push((
                format!(r#"{host}"{port}";"#),
                format!(r#".host = "127.0.0.{ours}"; .port = "{}";"#, address.port()),
            ));
        }
    }
    let replaced: Vec<(&str, String)> =
        replaced.iter().map(|(written, ours)| (written.as_str(), ours.clone())).collect();
    let vcl = shop.place.dir().join("shop.vcl");
    fs::write(&vcl, recipe_with("varnish", &replaced)).expect("write shop.vcl");
    let work = shop.place.public().join("varnish");
    let mut command = shop.place.command("varnishd");
    // It caches nothing, so that every request needs a server; its jail would need users of its package.
    command.args(["-F", "-j", "none", "-s", "malloc,16m", "-t", "0", "-p", "default_grace=0"]);
    command.arg("-n").arg(&work).arg("-f").arg(&vcl).arg("-a").arg(shop.entrance.to_string());
    let _varnish =
        shop.behind("varnish", command, |line| line.contains("Child died") || line.contains("panic"));
    shop.restart_hurts_nobody();
}
