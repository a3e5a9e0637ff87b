//! A haproxy.cfg: whatever it says, it is read to its end, and what comes of it is TOML.

use drain_proxy::config::haproxy::{Import, Source, holds};

pub(super) const WORDS: &[&[u8]] = &[
    b"global\n",
    b"defaults\n mode http\n",
    b"defaults d from x\n",
    b"frontend f\n bind :80\n default_backend b\n",
    b"backend b\n",
    b"listen l\n bind 127.0.0.1:80\n",
    b" server s 127.0.0.1:81 check inter 1s\n",
    b" cookie S insert indirect nocache\n",
    b" option httpchk GET / HTTP/1.1\\r\\nHost:\\ a\n",
    b" http-check send hdr Host a\n",
    b" log 127.0.0.1:514 local0 info\n option httplog\n",
    b" acl a path_beg /a\n",
    b" http-request deny if a\n",
    b" use_backend b if { hdr(host) -i x }\n",
    b" timeout connect 1s\n",
    b" timeout queue 0\n",
    b"http-errors e\n errorfile 403 /dev/null\n",
    b" errorfiles e\n",
    b" http-request deny errorfiles e if a\n",
    b" stats uri /s\n stats auth u:p\n",
    b" http-request set-var(txn.a) path,word(1,/),concat(a,txn.a,b)\n",
    b" http-response set-header X %[var(txn.a)]\n",
    b" http-after-response del-header X\n",
    b" http-request return content-type text/plain lf-string %[nbsrv(b)]\n",
    b" http-request redirect location %[path,map_beg(/dev/null,/)]\n",
    b" http-check expect status 200\n",
    b" balance uri len 10\n",
    b" no option redispatch\n",
    b".if defined(A) && !streq(a,b)\n",
    b".elif version_atleast(2.4)\n",
    b".else\n",
    b".endif\n",
    b".warning \"x\"\n",
    b" x \"${A-b}\" \"${LIST[*]}\"\n",
    b"setenv A b\n",
    b"\"",
    b"'",
    b"\\",
    b"\\x41",
    b"#",
    b"\n",
    b" ",
];

/// No panic, no hang, and a translation that is TOML.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let environment = |name: &str| match name {
        "A" => Some("a".to_owned()),
        "LIST" => Some("a b  c ".to_owned()),
        _ => None,
    };
    let sources = [Source { name: "fuzzed.cfg".into(), text: text.to_owned() }];
    let mut import = Import::of(&sources, &environment);
    let again = Import::of(&sources, &environment);
    assert_eq!(import.toml(), again.toml(), "it reads differently the second time");
    let nobody = |_: &str, _| Err(std::io::ErrorKind::Unsupported.into());
    let _ = import.read(&nobody);
    let said = import.messages.render(1);
    assert!(!said.contains("this is not TOML"), "{said}\n{}", import.toml());
    for line in text.lines().take(8) {
        let _ = holds(line, &environment);
    }
}
