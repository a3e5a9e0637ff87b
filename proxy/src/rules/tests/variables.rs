//! What rules keep.

use super::*;

#[test]
fn variables_last_from_rule_to_rule_and_to_the_response() {
    let (mut message, mut memory) = (message(HEAD), Memory::default());
    let lines = [
        "set-var(txn.path) path",
        "set-var(req.host) hdr(host),lower",
        "set-var(txn.none) urlp(none)",
        "set-var-fmt(sess.both) '%[var(txn.path)] at %[var(req.host)]'",
        "set-header X-B %[var(sess.both)] if { var(txn.path) -m beg /shop } !{ var(txn.none) -m found }",
        "set-var(txn.path) str(gone)",
        "unset-var(txn.path)",
        "set-header X-C 1 if { var(txn.path) -m found }",
    ];
    rules(&lines, action::Side::Request).request(&mut message, &origin(), &mut memory, None);
    let head = String::from_utf8(message.edited().unwrap()).unwrap();
    assert!(head.ends_with("X-B: /shop/a.png at www.shop.example:80\r\n\r\n"), "{head}");
    let (kept, name) = (memory.variables.of_response(), |name| variable::Name::read(name).unwrap());
    assert!(kept.value(&name("sess.both")).is_some() && kept.value(&name("req.host")).is_none());
}
