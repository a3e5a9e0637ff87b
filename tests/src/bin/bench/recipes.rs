//! How each program is configured: as a proxy of the same servers, with the same duties, with all its connections kept.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use crate::peer::{Duties, Recipe, Setup};

/// Our own, from the workspace's release build; `tests/bench` has built it.
pub(crate) fn drain_proxy(dir: &Path, address: SocketAddr, setup: &Setup) -> Recipe {
    let is_full = setup.duties == Duties::Full;
    let mut text = format!("[frontend.web]\nbind = [\"{address}\"]\nbackend = \"app\"\nforward_for = true\n");
    if is_full {
        let log = dir.join("access.log");
        let _ = writeln!(text, "log = {{ format = \"http\", target = \"{}\" }}", log.display());
    }
    text += "\n[backend.app]\n";
    if is_full {
        text += "cookie = { name = \"SERVERID\", mode = \"insert\", indirect = true }\n";
        text += "check = { method = \"GET\", uri = \"/100\", inter = \"2s\" }\n";
    }
    text += "timeout = { connect = \"5s\", server = \"600s\" }\n";
    for (n, server) in setup.servers() {
        let _ = write!(text, "\n[[backend.app.server]]\nname = \"s{n}\"\naddress = \"{server}\"\n");
        text += &if is_full {
            format!("cookie = \"s{n}\"\n")
        } else {
            "check = { disabled = true }\n".to_owned()
        };
    }
    text = text.replace("[frontend.web]\n", "[frontend.web]\ntimeout = { client = \"600s\" }\n");
    Recipe {
        text,
        command: |file, _, _| vec![release("drain-proxy"), "-f".into(), file.display().to_string()],
    }
}

/// HAProxy, one thread on its processor; the limit on open files is what it is here.
pub(crate) fn haproxy(address: SocketAddr, setup: &Setup) -> Recipe {
    let is_full = setup.duties == Duties::Full;
    let mut text = "global\n  maxconn 17000\n  no strict-limits\n".to_owned();
    if is_full {
        text += "  log stdout format raw local0\n";
    }
    text += "defaults\n  mode http\n  timeout connect 5s\n  timeout client 600s\n  timeout server 600s\n  \
             option forwardfor\n  http-reuse always\n";
    if is_full {
        text += "  log global\n  option httplog\n";
    }
    let _ = write!(text, "listen app\n  bind {address} backlog 4096\n  balance roundrobin\n");
    if is_full {
        text += "  cookie SERVERID insert indirect\n  option httpchk GET /100\n";
    }
    let check = if is_full { " check inter 2s" } else { "" };
    for (n, server) in setup.servers() {
        let _ = writeln!(text, "  server s{n} {server} cookie s{n}{check}");
    }
    Recipe {
        text,
        command: |file, _, _| {
            ["haproxy", "-db", "-f"]
                .map(str::to_owned)
                .into_iter()
                .chain([file.display().to_string()])
                .collect()
        },
    }
}

/// nginx: it has no checks, and its persistence (by address) is left out.
pub(crate) fn nginx(dir: &Path, address: SocketAddr, setup: &Setup) -> Recipe {
    let log =
        if setup.duties == Duties::Full { format!("{}/access.log", dir.display()) } else { "off".to_owned() };
    let upstreams: String = setup.servers().map(|(_, server)| format!("    server {server};\n")).collect();
    let text = format!(
        "daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 20000; }}\nhttp {{\n  access_log {log};\n  keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n  \
         proxy_temp_path {dir}/tmp; client_body_temp_path {dir}/body;\n  upstream app {{\n{upstreams}    \
         keepalive 256;\n    keepalive_requests 1000000000;\n  }}\n  server {{\n    listen {address} backlog=4096;\n    location / {{\n      \
         proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";\n      \
         proxy_set_header X-Forwarded-For $remote_addr; proxy_read_timeout 600s;\n    }}\n  }}\n}}\n",
        dir = dir.display(),
    );
    Recipe { text, command: nginx_command }
}

/// Varnish, which passes everything: a cache that answers itself is no proxy's measure. It has no log of its own.
pub(crate) fn varnish(_: &Path, _: SocketAddr, setup: &Setup) -> Recipe {
    let mut text = "vcl 4.1;\nimport directors;\n".to_owned();
    let probe = "  .probe = { .url = \"/100\"; .interval = 2s; }\n";
    let probe = if setup.duties == Duties::Full { probe } else { "" };
    let mut members = String::new();
    for (n, server) in setup.servers() {
        let (host, port) = (server.ip(), server.port());
        let _ = write!(
            text,
            "backend s{n} {{\n  .host = \"{host}\"; .port = \"{port}\"; .first_byte_timeout = 600s;\n{probe}}}\n"
        );
        let _ = writeln!(members, "  app.add_backend(s{n});");
    }
    let _ = write!(
        text,
        "sub vcl_init {{\n  new app = directors.round_robin();\n{members}}}\n\
         sub vcl_recv {{\n  set req.backend_hint = app.backend();\n  return (pass);\n}}\n"
    );
    let command = |file: &Path, dir: &Path, address: SocketAddr| {
        let [file, dir] = [file, dir].map(|path| path.display().to_string());
        let words = [
            "varnishd",
            "-F",
            "-j",
            "none",
            "-p",
            "timeout_idle=600",
            "-p",
            "thread_pool_max=9000",
            "-n",
            &dir,
        ];
        let more = ["-a", &address.to_string(), "-f", &file].map(str::to_owned);
        words.map(str::to_owned).into_iter().chain(more).collect()
    };
    Recipe { text, command }
}

/// Caddy.
pub(crate) fn caddy(dir: &Path, address: SocketAddr, setup: &Setup) -> Recipe {
    let servers: String = setup.servers().map(|(_, server)| format!(" {server}")).collect();
    let (log, duties) = match setup.duties {
        Duties::Bare => (String::new(), "lb_policy round_robin"),
        Duties::Full => (
            format!("  log {{\n    output file {}/access.log\n  }}\n", dir.display()),
            "lb_policy cookie SERVERID\n    health_uri /100\n    health_interval 2s",
        ),
    };
    let text = format!(
        "{{\n  admin off\n  auto_https off\n}}\nhttp://{address} {{\n{log}  reverse_proxy{servers} {{\n    {duties}\n  }}\n}}\n"
    );
    let command = |file: &Path, _: &Path, _: SocketAddr| {
        let words = ["caddy", "run", "--adapter", "caddyfile", "--config"].map(str::to_owned);
        words.into_iter().chain([file.display().to_string()]).collect()
    };
    Recipe { text, command }
}

/// An nginx that serves the pages in `dir`.
pub(crate) fn web_server(dir: &Path, address: SocketAddr) -> Recipe {
    let text = format!(
        "daemon off;\nworker_processes 1;\npid {dir}/pid;\nerror_log {dir}/error.log;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 20000; }}\nhttp {{\n  access_log off;\n  sendfile on;\n  open_file_cache max=16;\n  \
         keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n  client_body_temp_path {dir}/body;\n  client_body_buffer_size 128k;\n  \
         server {{ listen {address} backlog=4096; root {dir}; location /post {{ return 200 ok; }} }}\n}}\n",
        dir = dir.display(),
    );
    Recipe { text, command: nginx_command }
}

fn nginx_command(file: &Path, _: &Path, _: SocketAddr) -> Vec<String> {
    ["nginx", "-c"].map(str::to_owned).into_iter().chain([file.display().to_string()]).collect()
}

/// A program of the release build.
fn release(name: &str) -> String {
    let here = std::env::current_exe().unwrap_or_default();
    here.parent().unwrap_or(Path::new(".")).join(name).display().to_string()
}
