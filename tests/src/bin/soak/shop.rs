//! The nginx that the agent guards: it is restarted for real, by a command that stops and starts it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};
use drain_tests::{Place, client::Connection, place::holds, port};

/// nginx is there within tens of milliseconds; a loaded machine may need longer.
const WITHIN: Duration = Duration::from_secs(10);

/// One nginx in the background. When dropped it is stopped.
#[derive(Debug)]
pub(crate) struct Shop {
    place: Place,
    dir: PathBuf,
    address: SocketAddr,
}

impl Shop {
    /// Starts it and waits until it answers.
    pub(crate) fn start(place: &Place) -> Result<Self> {
        let (dir, address) = (place.subdir("shop"), port::free());
        let shop = Self { place: place.clone(), dir, address };
        fs::write(shop.dir.join("nginx.conf"), config(&shop.dir, address))?;
        fs::write(shop.restart_command(), script(&shop.dir))?;
        fs::set_permissions(shop.restart_command(), fs::Permissions::from_mode(0o755))?;
        place.show_log(shop.dir.join("error.log"));
        let status = place.command(shop.restart_command()).status()?;
        ensure!(status.success(), "nginx does not start: {status}");
        place.wait_for("the shop to answer", WITHIN, || {
            let answer = Connection::open(address).and_then(|mut c| c.fetch("GET", "/", &[], b""));
            answer.map(drop).map_err(|error| error.to_string())
        });
        Ok(shop)
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it, cutting whatever it still serves, and starts it again.
    pub(crate) fn restart_command(&self) -> PathBuf {
        self.dir.join("restart")
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let pid = self.dir.join("nginx.pid");
        let text = fs::read_to_string(&pid).unwrap_or_default();
        // Where it does not end, the place that it is in says so.
        let _ = Command::new("kill").arg(text.trim()).status();
        if !std::thread::panicking() {
            self.place.wait_for("the shop to end", WITHIN, || {
                holds(!pid.exists(), || format!("{} is still there", pid.display()))
            });
        }
    }
}

fn config(dir: &Path, address: SocketAddr) -> String {
    let user = if rustix::process::geteuid().is_root() { "user www-data;\n" } else { "" };
    format!(
        r#"{user}worker_processes 2;
pid {dir}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen {address};
        default_type text/plain;
        return 200 "$request_method $args\n";
    }}
}}
"#,
        dir = dir.display()
    )
}

/// The pid file goes when the old nginx does.
fn script(dir: &Path) -> String {
    format!(
        "#!/bin/sh
cd '{dir}' || exit
if [ -e nginx.pid ]; then
    kill -TERM \"$(cat nginx.pid)\"
    while [ -e nginx.pid ]; do sleep 0.02; done
fi
exec nginx -p '{dir}' -c '{dir}/nginx.conf' -e '{dir}/error.log'
",
        dir = dir.display()
    )
}
