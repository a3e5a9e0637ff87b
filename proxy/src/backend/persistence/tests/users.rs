//! Who is a user: by the token of the cookie, or by the address.

use super::*;

#[test]
fn a_user_is_the_token_of_the_cookie_that_it_was_given() {
    let backend = shop(config::Cookie { count_users: true, ..insert() });
    let newcomer = read(&backend, &[]);
    let (_, value, ..) = answered(&backend, &newcomer, 0, PLAIN);
    let value = value.unwrap();
    let pair = value.split(';').next().unwrap();
    assert!(pair.starts_with("SID=a|~") && pair.len() == "SID=a|~".len() + token::LETTERS, "{value}");
    assert_eq!(read(&backend, &[pair]).user(), newcomer.user());
    assert_ne!(read(&backend, &[]).user(), newcomer.user());
    assert_eq!(outcome(&backend, &[pair], 0), ("VN".to_owned(), None));
}

#[test]
fn a_token_outlives_the_renewal_of_the_dates() {
    let dated = config::Cookie { count_users: true, maxlife: Some(Duration::from_mins(10)), ..insert() };
    let backend = shop(dated);
    let (now, then) = (ago(0), ago(20));
    let cookie = format!("SID=a|{then}|{then}~abcDEF123456");
    let renewed = format!("SID=a|{now}|{then}~abcDEF123456; path=/; HttpOnly; Secure");
    assert_eq!(outcome(&backend, &[&cookie], 0), ("VU".to_owned(), Some(renewed.clone())));
    let renewed = renewed.split(';').next().unwrap();
    assert_eq!(read(&backend, &[renewed]).user(), read(&backend, &[&cookie]).user());
}

#[test]
fn a_user_who_is_moved_keeps_its_token() {
    let backend = shop(config::Cookie { count_users: true, ..insert() });
    let of_b = Some("SID=b|~abcDEF123456; path=/; HttpOnly; Secure".to_owned());
    assert_eq!(outcome(&backend, &["SID=a|~abcDEF123456"], 1), ("DI".to_owned(), of_b.clone()));
    let user = read(&backend, &["SID=a|~abcDEF123456"]).user();
    backend.set_operation(0, Operation::Down, false);
    backend.set_operation(2, Operation::Down, false);
    assert_eq!(outcome(&backend, &["SID=a|~abcDEF123456"], 1), ("DI".to_owned(), of_b));
    assert_eq!(read(&backend, &["SID=a|~abcDEF123456"]).user(), user);
}

#[test]
fn whoever_gets_a_cookie_gets_a_token_and_never_one_it_made_up() {
    let backend = shop(config::Cookie { count_users: true, ..insert() });
    for (cookie, server) in [("SID=a", 1), ("SID=a|~abc", 1), ("SID=a|~abcDEF12345\"", 1), ("SID=a|ZxY12", 0)]
    {
        let (_, value) = outcome(&backend, &[cookie], server);
        let value = value.expect("a new cookie");
        let token = value.split("|~").nth(1).and_then(|rest| rest.split(';').next()).expect("a token");
        assert!(Token::read(token.as_bytes()).is_some() && !cookie.contains(token), "{cookie}: {value}");
    }
}

#[test]
fn without_tokens_a_user_is_its_address() {
    let backend = shop(insert());
    let user_from = |client| {
        let request = Request { target: b"/", client, ruled: None };
        Persistence::read(&backend, iter::empty(), request, wall).unwrap().user()
    };
    assert_eq!(user_from(CLIENT), read(&backend, &["SID=a"]).user());
    assert_ne!(user_from(CLIENT), user_from(IpAddr::from([127, 0, 0, 2])));
}
