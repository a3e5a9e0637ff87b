//! Downloads whose server is killed: the rest comes from another one.

mod conditions;
mod download;

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use drain_tests::{Apache, Nginx, PATIENCE, Place, Proxy, child};
use rustix::process::Signal;

use self::download::Download;

const FILM_BYTES: usize = 100_000_000;
const BLOCK_BYTES: usize = 4_000;
/// What the client has when the server is killed.
const SEEN_BYTES: usize = 30_000_000;

/// A file no two blocks of which are the same, nor two words of a block.
fn film(place: &Place) -> (PathBuf, Vec<u8>) {
    let block: Vec<u8> = (0..BLOCK_BYTES / 4).flat_map(|word| (!word as u32).to_le_bytes()).collect();
    let mut bytes = block.repeat(FILM_BYTES / BLOCK_BYTES);
    for (number, block) in bytes.chunks_exact_mut(BLOCK_BYTES).enumerate() {
        block[..4].copy_from_slice(&(number as u32).to_le_bytes());
    }
    let folder = place.public().join("films");
    fs::create_dir_all(&folder).expect("a folder for the film");
    let mut film = fs::File::create(folder.join("film")).expect("create the film");
    film.write_all(&bytes).expect("write the film");
    // Of a file that is younger than a second Apache gives a weak tag only.
    film.set_modified(SystemTime::UNIX_EPOCH).expect("an old film");
    (folder, bytes)
}

/// Downloads the film, and has `kill` end the server that its head names as soon as a part of it has come.
fn download(from: SocketAddr, fields: &str, kill: impl FnOnce(&str)) -> Vec<u8> {
    let request = format!("GET /film HTTP/1.1\r\nHost: shop\r\n{fields}\r\n");
    let download = Download::begin(from, &request, SEEN_BYTES);
    let head = &download.head;
    let length = FILM_BYTES.to_string();
    assert!(head.starts_with("HTTP/1.1 200 ") && download.field("Content-Length") == Some(&length), "{head}");
    kill(download.field("X-Server").expect("the server's name"));
    download.finish()
}

/// The line of the proxy's log for the film.
fn logged(place: &Place, proxy: &Proxy) -> String {
    place.wait_for("a line of the log", PATIENCE, || {
        let log = proxy.access_log();
        log.lines().find(|line| line.contains("/film ")).map(str::to_owned).ok_or(log)
    })
}

fn link(film: &Path, to: &Path) {
    // The same file, and so the same tag.
    fs::hard_link(film, to).expect("publish the film");
}

#[test]
fn a_download_outlives_its_nginx() {
    let place = Place::new("resume_nginx");
    let (folder, bytes) = film(&place);
    let mut servers = ["n1", "n2"].map(|name| Nginx::new(&place, name).serving(&folder).start());
    let proxy = Proxy::new(&place, "proxy");
    let mut proxy =
        servers.iter().fold(proxy, |proxy, nginx| proxy.server(nginx.name(), nginx.address(), None)).start();

    proxy.child().expect_error(" is DOWN");
    let found = download(proxy.address(), "", |name| {
        servers.iter_mut().find(|nginx| nginx.name() == name).expect("one of the two").crash();
    });

    assert!(found == bytes, "{} bytes, not those of the film", found.len());
    let line = logged(&place, &proxy);
    assert!(line.contains(" ---- ") || line.contains(" --NI "), "{line}");
    assert!(line.contains("/+1 "), "{line}");
}

#[test]
fn a_download_outlives_its_apache() {
    let place = Place::new("resume_apache");
    let (folder, bytes) = film(&place);
    let mut servers = ["a1", "a2"].map(|name| Apache::new(&place, name));
    for apache in &mut servers {
        link(&folder.join("film"), &apache.pages().join("film"));
        apache.start_again();
    }
    let proxy = Proxy::new(&place, "proxy");
    let mut proxy = servers
        .iter()
        .fold(proxy, |proxy, apache| proxy.server(apache.name(), apache.address(), None))
        .start();

    proxy.child().expect_error(" is DOWN");
    let found = download(proxy.address(), "", |name| {
        servers.iter_mut().find(|apache| apache.name() == name).expect("one of the two").crash();
    });

    assert!(found == bytes, "{} bytes, not those of the film", found.len());
    let line = logged(&place, &proxy);
    assert!(line.contains("/+1 "), "{line}");
}

#[test]
fn a_cookie_user_stays_with_its_server_where_only_the_worker_has_died() {
    let place = Place::new("resume_worker");
    let (folder, bytes) = film(&place);
    let mut servers = ["n1", "n2"].map(|name| Nginx::new(&place, name).serving(&folder).start());
    // No check asks in the moment without a worker.
    let proxy = Proxy::new(&place, "proxy").check(r#"inter = "1h""#);
    let proxy =
        servers.iter().fold(proxy, |proxy, nginx| proxy.server(nginx.name(), nginx.address(), None)).start();
    let [other, own] = &mut servers;

    own.child().expect_error(" exited on signal 9");
    let found = download(proxy.address(), "Cookie: SERVERID=n2\r\n", |name| {
        assert_eq!(name, "n2");
        let worker = child::children(own.child().pid()).pop().expect("a worker");
        child::send(worker, Signal::KILL).expect("kill the worker");
    });

    assert!(found == bytes, "{} bytes, not those of the film", found.len());
    let line = logged(&place, &proxy);
    assert!(line.contains(" shop/n2 ") && line.contains(" --VN ") && line.contains("/1 0/0 "), "{line}");
    assert!(!other.access_log().contains("/film "), "{}", other.access_log());
}
