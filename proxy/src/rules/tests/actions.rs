//! What rules may do, and look at.

use super::*;

#[test]
fn what_is_no_action_is_refused() {
    for line in [
        "",
        "foo",
        "set-header X",
        "set-header Content-Length 1",
        "set-header 'a b' 1",
        "del-header Connection",
        "deny deny_status 299",
        "redirect code 301",
        "redirect location / code 300",
        "return string x",
        "set-status 200",
        "set-header X %[foo]",
        "set-header X %[src",
        "set-header X %foo",
        "set-var(proc.x) src",
        "set-var(res.x) src",
        "set-var(txn.x)",
        "set-var txn.x src",
        "unset-var(txn.x) src",
        "set-header X %[var(x)]",
    ] {
        assert!(Action::read(action::Side::Request, &words(line).unwrap()).is_err(), "{line}");
    }
}

/// What would be empty or always false in HAProxy, or would be looked for in the other head, is refused.
#[test]
fn a_rule_looks_at_its_own_head_only() {
    use action::Side::{Request, Response};
    let names = Names::new(vec![("shop", vec!["s1"])]);
    let scope = Scope { names: &names, own: "shop" };
    let fits = |side, line: &str| {
        let words = words(line).unwrap();
        let (action, condition) = condition::split(&words);
        let condition = Condition::read(condition, &Lists::default()).unwrap();
        let action = Action::read(side, action).unwrap();
        let mut samples = action.samples().into_iter().chain(condition.samples());
        samples.try_for_each(|sample| sample.check(side, scope)).is_ok()
    };
    for (side, line, expected) in [
        (Request, "set-header X %[path]", true),
        (Request, "set-header X %[status]", false),
        (Request, "set-header X 1 if { res.hdr(x) y }", false),
        (Request, "redirect location /%[res.hdr(x)]", false),
        (Request, "return lf-string %[status] content-type text/plain", false),
        (Request, "deny if { nbsrv(shop) lt 1 }", true),
        (Request, "deny if { nbsrv lt 1 }", true),
        (Request, "deny if { nbsrv(other) lt 1 }", false),
        (Request, "deny if { srv_is_up(shop/s1) }", true),
        (Request, "deny if { srv_is_up(s1) }", true),
        (Request, "deny if { srv_is_up(s2) }", false),
        (Request, "deny if { srv_conn(shop/s2) gt 1 }", false),
        (Request, "deny if { srv_queue(other/s1) gt 1 }", false),
        (Response, "set-header X %[path]", false),
        (Response, "set-header X %[req.hdr(x)]", false),
        (Response, "set-header X %[hdr(x)]", true),
        (Response, "set-header X 1 if { hdr(x) y }", false),
        (Response, "set-header X 1 if { res.hdr(x) y } { status 200 } METH_GET", true),
        (Response, "set-header X %[var(txn.path)]%[capture.req.uri]", true),
        (Response, "set-header X %[var(req.path)]", false),
        (Response, "set-header X 1 if { path_beg /x }", false),
    ] {
        assert_eq!(fits(side, line), expected, "{line}");
    }
    for line in ["set-log-level loud", "deny deny_status 403", "tarpit", "set-var(sess.x) src"] {
        assert!(Action::read(Response, &words(line).unwrap()).is_err(), "{line}");
    }
}
