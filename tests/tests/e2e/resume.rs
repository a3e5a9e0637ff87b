//! Downloads whose server is killed: the rest comes from another one.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::SystemTime,
};

use drain_tests::{Apache, Nginx, PATIENCE, Place, Proxy};

const FILM_BYTES: usize = 100_000_000;
/// What the client has when the server is killed.
const SEEN_BYTES: usize = 30_000_000;

/// A file whose every word is another one.
fn film(place: &Place) -> (PathBuf, Vec<u8>) {
    let bytes: Vec<u8> = (0..FILM_BYTES / 4).flat_map(|word| (word as u32).to_le_bytes()).collect();
    let folder = place.public().join("films");
    fs::create_dir_all(&folder).expect("a folder for the film");
    let mut film = fs::File::create(folder.join("film")).expect("create the film");
    film.write_all(&bytes).expect("write the film");
    // Of a file that is younger than a second Apache gives a weak tag only.
    film.set_modified(SystemTime::UNIX_EPOCH).expect("an old film");
    (folder, bytes)
}

/// Downloads the film, and has `kill` end the server that its head names as soon as a part of it has come.
fn download(from: SocketAddr, path: &str, kill: impl FnOnce(&str)) -> Vec<u8> {
    let mut stream = TcpStream::connect(from).expect("a connection to the proxy");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").expect("send the request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head in ASCII");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains(&format!("Content-Length: {FILM_BYTES}\r\n")),
        "{head}"
    );
    let server = head.lines().find_map(|line| line.strip_prefix("X-Server: ")).expect("the server's name");
    let mut body = vec![0; SEEN_BYTES];
    stream.read_exact(&mut body).expect("the first part");
    kill(server);
    let left = (FILM_BYTES - SEEN_BYTES) as u64;
    stream.take(left).read_to_end(&mut body).expect("the rest");
    body
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
    let found = download(proxy.address(), "/film", |name| {
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
    let found = download(proxy.address(), "/film", |name| {
        servers.iter_mut().find(|apache| apache.name() == name).expect("one of the two").crash();
    });

    assert!(found == bytes, "{} bytes, not those of the film", found.len());
    let line = logged(&place, &proxy);
    assert!(line.contains("/+1 "), "{line}");
}
