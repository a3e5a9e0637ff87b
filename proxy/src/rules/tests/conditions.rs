//! Conditions.

use super::*;

fn condition(text: &str) -> Result<Condition, String> {
    let mut lists = Lists::default();
    for list in ["static path_beg /static /shop", "static path_end .css", "inside src 10.0.0.0/8 ::1"] {
        lists.add(&words(list).unwrap()).unwrap();
    }
    Condition::read(&words(text).unwrap(), &lists)
}

fn holds(text: &str) -> bool {
    let message = message(HEAD);
    condition(text).unwrap().holds(&Context::of_request(&message, &origin(), &Memory::default()))
}

#[test]
fn conditions_are_haproxys() {
    for (text, expected) in [
        ("", true),
        ("if static", true),
        ("unless static", false),
        ("if static inside", true),
        ("if static !inside", false),
        ("if !static || inside", true),
        ("if { path /shop/a.png }", true),
        ("if { path_beg /x } or { path_end .png }", true),
        ("if { path_reg ^/shop/[a-z]+\\.png$ }", true),
        ("if { path -m sub op/a }", true),
        ("if { path_dir shop }", true),
        ("if { path_dir sho }", false),
        ("if { hdr(host) www.shop.example:80 }", false),
        ("if { hdr(host) -i www.shop.example:80 }", true),
        ("if { hdr_dom(host) -i shop.example }", true),
        ("if { hdr_beg(host) -i www. }", true),
        ("if { hdr(x-a) two }", true),
        ("if { req.fhdr(x-a) two }", false),
        ("if { hdr(x-a,-1) three }", true),
        ("if { hdr(x-a,2) two }", true),
        ("if { hdr_cnt(x-a) 3 }", true),
        ("if { hdr_cnt(x-b) gt 0 }", false),
        ("if { hdr(x-b) -m found }", false),
        ("if { hdr_len(host) ge 5 }", true),
        ("if METH_GET", true),
        ("if METH_POST", false),
        ("if { method POST GET }", true),
        ("if LOCALHOST", false),
        ("if { src 10.1.2.3 }", true),
        ("if { src 10.2.0.0/16 }", false),
        ("if { src,ipmask(8) 10.0.0.0 }", true),
        ("if { dst_port 80 }", true),
        ("if { dst_port 1:79 }", false),
        ("if { ssl_fc }", false),
        ("if !{ ssl_fc }", true),
        ("if ! { ssl_fc }", true),
        ("if { url_param(y) -m found } { urlp(x) 1 }", true),
        ("if { url_param(y),url_dec 'b c' }", true),
        ("if { cook(SID) s1 }", true),
        ("if { hdr(host),lower,field(1,:) www.shop.example }", true),
        ("if { path,word(2,/.) a }", true),
        ("if { path,bytes(1,4) shop }", true),
        ("if { str(123456789),crc32 3421780262 }", true),
        ("if { str(a),concat(b,,c) abc }", true),
        ("if { str(Ab),hex 4162 }", true),
        ("if { str(Ab),base64 QWI= }", true),
        ("if { str(QWI=),b64dec Ab }", true),
        ("if { always_false,not }", true),
        ("if { nbsrv(shop) lt 1 }", true),
        ("if HTTP_1.1 TRUE !FALSE", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_condition_is_refused() {
    for text in [
        "when static",
        "if",
        "if nope",
        "if static ||",
        "if {",
        "if { }",
        "if { path_beg }",
        "if { foo(x) y }",
        "if { path -m foo x }",
        "if { path_reg ( }",
        "if { src 10.0.0.0/99 }",
        "if { dst_port x }",
        "if { hdr(host },",
        "if { path -x y }",
        "if { path,foo y }",
        "if !",
    ] {
        assert!(condition(text).is_err(), "{text}");
    }
}
