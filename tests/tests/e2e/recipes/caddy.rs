//! Caddy: its active health checks ask the agents.

use std::fs;

use super::{Shop, nothing, recipe_with, told_by_answers};

#[test]
fn a_restart_behind_caddy_hurts_nobody() {
    let shop = Shop::new("recipe_caddy", nothing, told_by_answers);
    let replaced = [
        ("10.0.0.11:80", shop.apaches[0].address().to_string()),
        ("10.0.0.12:80", shop.apaches[1].address().to_string()),
        // The one that is left: the addresses are replaced above.
        (":80 {", format!(":{} {{\n    bind 127.0.0.1", shop.entrance.port())),
        ("health_port 8404", format!("health_port {}", shop.agents[0].address().port())),
    ];
    let file = shop.place.dir().join("Caddyfile");
    let text = recipe_with("caddy", &replaced);
    fs::write(&file, format!("{{\n    admin off\n    auto_https off\n}}\n{text}"))
        .expect("write the Caddyfile");
    let mut command = shop.place.command("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    command.env("HOME", shop.place.dir()).env("XDG_DATA_HOME", shop.place.dir());
    command.env("XDG_CONFIG_HOME", shop.place.dir());
    let _caddy = shop.behind("caddy", command, |line| line.contains("panic:"));
    shop.restart_hurts_nobody();
}
