//! The proxy's live page in a real browser.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use drain_tests::{Place, Proxy, client::Connection, port, scripted};

use crate::browser::Browser;

/// `ops:s3cret`
const AUTHORIZATION: &str = "Basic b3BzOnMzY3JldA==";

/// A server whose health answer is what the test says: a status, and what stands behind `x-drain-state`.
fn server(health: &Arc<Mutex<(u16, String)>>) -> SocketAddr {
    let health = Arc::clone(health);
    scripted::start(move |request, connection| {
        let is_check = request.line().starts_with("OPTIONS");
        let (status, marker) = if is_check {
            let (status, state) = health.lock().expect("the health").clone();
            (status, if state.is_empty() { state } else { format!("x-drain-state: {state}\r\n") })
        } else {
            (200, String::new())
        };
        let answer = format!("HTTP/1.1 {status} x\r\n{marker}content-length: 3\r\n\r\nok\n");
        connection.send(answer.as_bytes()).ok()?;
        (!is_check).then_some(())
    })
}

fn started(place: &Place, servers: [SocketAddr; 2]) -> (Proxy, SocketAddr) {
    let file = place.dir().join("password");
    fs::write(&file, "s3cret\n").expect("write the password");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("hide the password");
    let admin = port::free();
    let section = format!(
        "[admin]\nlisten = \"{admin}\"\nlisten_level = \"operate\"\n\
         auth = {{ user = \"ops\", password_file = \"{}\" }}",
        file.display()
    );
    let proxy = Proxy::new(place, "lb")
        .server("a", servers[0], None)
        .server("b", servers[1], None)
        .section(&section)
        .start();
    (proxy, admin)
}

#[test]
fn a_drain_is_begun_by_click_and_followed_to_its_end() {
    let place = Place::new("live_page_click");
    let healthy = Arc::new(Mutex::new((200, String::new())));
    let servers = [server(&healthy), server(&healthy)];
    let (proxy, admin) = started(&place, servers);
    let fetch = || {
        let fetch = |mut connection: Connection| connection.fetch("GET", "/", &[], b"");
        Connection::open(proxy.address()).and_then(fetch).expect("a page").status
    };
    let mut page = Browser::start();
    page.tell(format!("open http://{admin}/ {AUTHORIZATION}")).expect("the page opens");
    let state =
        |server: &str| format!("document.querySelector('[data-server=\"shop/{server}\"]')?.dataset.state");
    let is = |server: &str, wanted: &str| format!("{} === '{wanted}'", state(server));
    page.wait_until(&place, &format!("{} && {}", is("a", "up"), is("b", "up")));

    // It is asked before anything happens, and Escape is no.
    page.click_until(&place, "[data-server='shop/a'] .to-soft", "document.querySelector('#ask').open");
    page.tell("press Escape").expect("a key");
    page.wait_until(&place, "!document.querySelector('#ask').open");

    page.click_until(&place, "[data-server='shop/a'] .to-soft", "document.querySelector('#ask').open");
    page.wait_until(&place, "document.querySelector('#ask-title').textContent.includes('a of shop')");
    page.click_until(&place, "#ask-yes", "!document.querySelector('#ask').open");
    page.wait_until(&place, &format!("{} && {}", is("a", "soft"), is("b", "up")));
    page.wait_until(
        &place,
        "document.querySelector('[data-server=\"shop/a\"] .story').innerText.includes('by command here')",
    );
    assert_eq!(fetch(), 200);

    // By the keyboard alone.
    page.tell("eval document.querySelector('[data-server=\"shop/a\"] .to-hard').focus()").expect("a button");
    page.tell("press Enter").expect("a key");
    page.wait_until(&place, "document.querySelector('#ask').open");
    page.tell("press Tab").expect("a key");
    page.tell("press Enter").expect("a key");
    page.wait_until(&place, &is("a", "maint"));
    assert_eq!(fetch(), 200);

    page.click_until(&place, "[data-server='shop/a'] .to-up", "document.querySelector('#ask').open");
    page.click_until(&place, "#ask-yes", "!document.querySelector('#ask').open");
    page.wait_until(&place, &is("a", "up"));
    // Those who can't see it were told.
    let news = page.tell("eval document.querySelector('#news').textContent").expect("the news").to_string();
    assert!(news.contains("soft drain") && news.contains("maintenance"), "{news}");
}

#[test]
fn what_a_servers_agent_says_is_on_the_page() {
    let place = Place::new("live_page_agent");
    let [a, b] = [(); 2].map(|()| Arc::new(Mutex::new((200, String::new()))));
    let (_proxy, admin) = started(&place, [server(&a), server(&b)]);
    let mut page = Browser::start();
    page.tell(format!("open http://{admin}/live {AUTHORIZATION}")).expect("the page opens");
    let is = |wanted: &str| {
        format!("document.querySelector('[data-server=\"shop/a\"]')?.dataset.state === '{wanted}'")
    };
    page.wait_until(&place, &is("up"));
    let phases = [
        (404, "soft", "✓ acknowledged"),
        (500, "hard", "release 42"),
        (500, "restarting", "release 42"),
        (500, "warming", "as its agent says"),
    ];
    for (status, phase, said) in phases {
        let state = format!("{phase}; reason=\"release 42 <b>\"; since=1700000000");
        *a.lock().expect("the health") = (status, state);
        page.wait_until(&place, &is(phase));
        let story =
            format!("document.querySelector('[data-server=\"shop/a\"] .story').innerText.includes('{said}')");
        page.wait_until(&place, &story);
    }
    *a.lock().expect("the health") = (200, String::new());
    page.wait_until(&place, &is("up"));
    // Each plot says in words what it shows.
    let plots =
        "[...document.querySelectorAll('svg[role=img]')].every((plot) => plot.ariaLabel.includes('now'))";
    page.wait_until(&place, plots);
    let file = place.dir().join("page.png");
    page.tell(format!("shot 1280 800 dark {}", file.display())).expect("a picture");
    assert!(fs::metadata(&file).expect("the picture").len() > 1000);
}
