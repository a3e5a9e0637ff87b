//! Apache as a balancer: `mod_proxy_hcheck` asks the agents through the servers, for it knows no other port.

use std::{fs, net::SocketAddr};

use super::{Shop, recipe, recipe_with, told_by_answers};

/// Where Debian's package keeps the modules.
const MODULES: &str = "/usr/lib/apache2/modules";

#[test]
fn a_restart_behind_apache_hurts_nobody() {
    let on_the_server = |agent: SocketAddr| {
        let text = recipe("apache-server");
        assert!(text.contains("127.0.0.1:8404"), "{text}");
        let text = text.replace("127.0.0.1:8404", &agent.to_string());
        format!("{}{text}", modules(&["proxy", "proxy_http"]))
    };
    // The checks come every 2 s to the servers themselves: they are quiet for less than that.
    let shop = Shop::new("recipe_apache", on_the_server, told_by_answers);
    let replaced = [
        ("10.0.0.11:80", shop.apaches[0].address().to_string()),
        ("10.0.0.12:80", shop.apaches[1].address().to_string()),
    ];
    let dir = shop.place.subdir("balancer");
    let shown = dir.display();
    let user = if rustix::process::geteuid().is_root() { "User www-data\nGroup www-data\n" } else { "" };
    let loaded = modules(&[
        "mpm_event",
        "authz_core",
        "slotmem_shm",
        "proxy",
        "proxy_http",
        "proxy_balancer",
        "lbmethod_byrequests",
        "proxy_hcheck",
    ]);
    let text = recipe_with("apache", &replaced);
    let config = format!(
        "ServerRoot \"{shown}\"\n{loaded}{user}ServerName localhost\nListen {}\nPidFile \"{shown}/httpd.pid\"\n\
         DefaultRuntimeDir \"{shown}\"\nErrorLog /dev/stderr\nLogLevel warn\n{text}",
        shop.entrance
    );
    let file = dir.join("httpd.conf");
    fs::write(&file, config).expect("write httpd.conf");
    let mut command = shop.place.command("apache2");
    command.arg("-f").arg(&file).args(["-D", "FOREGROUND"]);
    let _apache =
        shop.behind("balancer", command, |line| line.contains(":emerg]") || line.contains(":alert]"));
    shop.restart_hurts_nobody();
}

fn modules(names: &[&str]) -> String {
    names.iter().map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n")).collect()
}
