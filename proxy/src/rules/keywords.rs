//! HAProxy's words for what rules do, look at and make of it (2.6), and what becomes of each.
//!
//! The readers of rules refuse by these tables, and the tables that people read (`proxy/DIRECTIVES.md`) are written from
//! them.

use crate::config::haproxy::nearest::did_you_mean;

/// A word of HAProxy's. One that ends in `*` stands for all that begin so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Keyword {
    pub(crate) name: &'static str,
    /// Why it is refused, and what to use; `None`: it is supported.
    pub(crate) refused: Option<&'static str>,
    /// Where it is supported and not quite HAProxy's; for an action also where it may stand.
    pub(crate) but: &'static str,
    /// Of an action: the directives in which it may stand, by their letters: `q` request, `s` response, `a` whatever
    /// clients get.
    pub(crate) directives: &'static str,
}

impl Keyword {
    const fn but(self, but: &'static str) -> Self {
        Self { but, ..self }
    }

    const fn in_directives(self, directives: &'static str) -> Self {
        Self { directives, ..self }
    }

    fn is(&self, name: &str) -> bool {
        self.name == name || self.name.strip_suffix('*').is_some_and(|begin| name.starts_with(begin))
    }
}

const fn yes(name: &'static str) -> Keyword {
    Keyword { name, refused: None, but: "", directives: "" }
}

const fn no(name: &'static str, why: &'static str) -> Keyword {
    Keyword { name, refused: Some(why), but: "", directives: "" }
}

/// Why a word is refused that has its place in a table; `None`: it is supported, or unknown.
pub(super) fn refusal(table: &[Keyword], name: &str) -> Option<&'static str> {
    table.iter().find(|keyword| keyword.is(name)).and_then(|keyword| keyword.refused)
}

/// What is said of a word that no table has.
pub(super) fn unknown(table: &[Keyword], name: &str, what: &str) -> String {
    let names = table.iter().filter(|keyword| keyword.refused.is_none()).map(|keyword| keyword.name);
    format!("'{name}' is no {what} that is known here{}", did_you_mean(name, names))
}

const NO_TLS: &str = "TLS is not spoken here: put a program in front that ends it";
const NO_STICK: &str = "there are no stick tables: users are kept on their server by `cookie`";
const NO_MAPS: &str = "maps and lists are read from their files: change those, and send SIGHUP";
const NO_BODY: &str = "rules do not look into bodies: let the servers do that";
const NO_BYTES: &str =
    "rules look at HTTP, not at the bytes of a connection: use such as path, hdr(NAME) or method";
const NO_FILTER: &str = "there are no filters: let the servers do that";
const NO_USERS: &str = "users are authenticated by the servers; for the statistics write `stats auth`";
const NO_INSIDES: &str = "it tells of HAProxy's own insides";
const NO_RATE: &str = "rates are in the statistics: rules count nothing";
const KERNEL: &str = "what the kernel knows of a connection is not asked";
const ALIKE: &str = "all requests are alike to the kernel and in queues: leave it out";
const NO_HASH: &str = "use `crc32`";

/// Actions of `http-request`, `http-response` and `http-after-response`.
pub(crate) const ACTIONS: &[Keyword] = &[
    no("add-acl", NO_MAPS),
    yes("add-header").in_directives("qsa"),
    yes("allow").in_directives("qsa"),
    no("auth", NO_USERS),
    no("cache-*", "nothing is cached: put a cache behind"),
    yes("capture").in_directives("qsa").but("without `len` in a `backend`: places are declared in frontends"),
    no("del-acl", NO_MAPS),
    yes("del-header").in_directives("qsa"),
    no("del-map", NO_MAPS),
    yes("deny").in_directives("qs").but("a response that is kept back is answered 502"),
    no("disable-l7-retry", "only what may be sent twice is sent again: leave it out"),
    no("do-resolve", "names are looked up once, when the configuration is read"),
    no("early-hint", "let the servers send 103"),
    no("lua.*", "there is no Lua"),
    no(
        "normalize-uri",
        "servers get the URI as the client wrote it: write `replace-uri` for what must not reach them",
    ),
    no("ot-group", NO_FILTER),
    yes("redirect").in_directives("q").but("a server's answer is passed on, or withheld by `deny`"),
    no("reject", "a client is answered: write `deny`"),
    yes("replace-header").in_directives("qsa"),
    yes("replace-path").in_directives("q"),
    yes("replace-pathq").in_directives("q"),
    yes("replace-uri").in_directives("q"),
    yes("replace-value").in_directives("qsa"),
    yes("return").in_directives("q").but("a server's answer is passed on, or withheld by `deny`"),
    no("sc-*", NO_STICK),
    no("send-spoe-group", NO_FILTER),
    no("set-dst", "a request goes to a server: write `use_backend`"),
    no("set-dst-port", "a request goes to a server: write `use_backend`"),
    yes("set-header").in_directives("qsa"),
    yes("set-log-level").in_directives("q").but("`silent` only: a line has the level of its `log`"),
    no("set-map", NO_MAPS),
    no("set-mark", ALIKE),
    yes("set-method").in_directives("q").but("none that changes whether an answer has a body"),
    no("set-nice", ALIKE),
    yes("set-path").in_directives("q"),
    yes("set-pathq").in_directives("q"),
    no("set-priority-*", ALIKE),
    yes("set-query").in_directives("q"),
    no("set-src", "a client's address comes with the PROXY protocol: write `accept-proxy` on `bind`"),
    no("set-src-port", "a client's address comes with the PROXY protocol: write `accept-proxy` on `bind`"),
    yes("set-status").in_directives("sa").but("none that changes whether an answer has a body"),
    no(
        "set-timeout",
        "write `timeout server` and `timeout tunnel` in a backend of its own, and `use_backend`",
    ),
    no("set-tos", ALIKE),
    yes("set-uri").in_directives("q"),
    yes("set-var").in_directives("qsa"),
    yes("set-var-fmt").in_directives("qsa"),
    no("silent-drop", "a client is answered: write `deny`, or `tarpit` to have it wait"),
    no(
        "strict-mode",
        "a change that can't be made is counted (`wrew`), and the message passes: leave it out",
    ),
    no("switch-mode", "clients are spoken to in HTTP only"),
    yes("tarpit").in_directives("q"),
    no("track-sc*", NO_STICK),
    yes("unset-var").in_directives("qsa"),
    yes("use-service").in_directives("q").but("`prometheus-exporter` only"),
    no("wait-for-body", "a body goes on as it comes: leave it out"),
    no("wait-for-handshake", NO_TLS),
];

/// Sample fetches, beside those that say in their ending how they are compared (`path_beg`).
pub(crate) const FETCHES: &[Keyword] = &[
    yes("always_false"),
    yes("always_true"),
    yes("avg_queue"),
    yes("base"),
    no("base32*", NO_HASH),
    no("baseq", "write `%[base]?%[query]`"),
    no("bc_*", "of a connection to a server nothing is asked"),
    yes("be_conn"),
    no("be_conn_free", "use `connslots`"),
    no("be_id", "use `be_name`"),
    yes("be_name"),
    no("be_server_timeout", "timeouts do not change while requests are served"),
    no("be_sess_rate", NO_RATE),
    no("be_tunnel_timeout", "timeouts do not change while requests are served"),
    no("bin", "write a text: `str(…)`"),
    yes("bool"),
    yes("capture.req.hdr"),
    yes("capture.req.method"),
    yes("capture.req.uri"),
    yes("capture.req.ver"),
    yes("capture.res.hdr"),
    no("capture.res.ver", "servers are spoken to in HTTP/1"),
    yes("connslots"),
    yes("cook"),
    no("cook_cnt", "use `req.cook(NAME) -m found`"),
    yes("cook_val"),
    no("cookie", "use `req.cook(NAME)`"),
    no("cpu_*", NO_INSIDES),
    no("cur_server_timeout", "timeouts do not change while requests are served"),
    no("cur_tunnel_timeout", "timeouts do not change while requests are served"),
    yes("date"),
    no("date_us", "use `date(0,us)`"),
    no("distcc_*", NO_BYTES),
    yes("dst"),
    no("dst_conn", "use `fe_conn`"),
    no("dst_is_local", KERNEL),
    yes("dst_port"),
    yes("env").but("as it is when the configuration is read"),
    no("fc_*", KERNEL),
    no("fcgi.*", "servers speak HTTP"),
    no("fe_client_timeout", "timeouts do not change while requests are served"),
    yes("fe_conn").but("of its own frontend"),
    no("fe_defbe", "use `be_name`"),
    no("fe_id", "use `fe_name`"),
    yes("fe_name"),
    no("fe_req_rate", NO_RATE),
    no("fe_sess_rate", NO_RATE),
    yes("hdr"),
    yes("hdr_cnt"),
    yes("hdr_ip"),
    yes("hdr_val"),
    yes("hostname"),
    no("http_auth*", NO_USERS),
    yes("http_first_req"),
    yes("int"),
    no("internal.*", NO_INSIDES),
    no("ipv4", "write a text: `str(…)`"),
    no("ipv6", "write a text: `str(…)`"),
    no("last_rule_*", "the log says by its termination state which kind of rule it was"),
    no("lat_*", NO_INSIDES),
    no("lua.*", "there is no Lua"),
    no("meth", "use `method`"),
    yes("method"),
    no("nbproc", "there is one process"),
    yes("nbsrv"),
    yes("path"),
    yes("pathq"),
    no("payload*", NO_BYTES),
    no("prio_*", "all requests are alike in queues"),
    no("proc", "there is one process"),
    yes("query"),
    yes("queue"),
    yes("rand"),
    no("rdp_cookie*", "there is no RDP"),
    no("rep_ssl_hello_type", NO_TLS),
    no("req.body*", NO_BODY),
    yes("req.cook"),
    no("req.cook_cnt", "use `req.cook(NAME) -m found`"),
    yes("req.cook_val"),
    yes("req.fhdr"),
    yes("req.fhdr_cnt"),
    yes("req.hdr"),
    yes("req.hdr_cnt"),
    yes("req.hdr_ip"),
    no("req.hdr_names", "ask for each by its name: `req.hdr(NAME) -m found`"),
    yes("req.hdr_val"),
    no("req.hdrs*", "ask for each by its name: `req.hdr(NAME)`"),
    no("req.len", NO_BYTES),
    no("req.payload*", NO_BYTES),
    no("req.proto_http", "all requests are HTTP: leave it out"),
    no("req.rdp_cookie*", "there is no RDP"),
    no("req.ssl_*", NO_TLS),
    yes("req.ver"),
    no("req_len", NO_BYTES),
    no("req_proto_http", "all requests are HTTP: leave it out"),
    no("req_rdp_cookie*", "there is no RDP"),
    no("req_ssl_*", NO_TLS),
    yes("req_ver"),
    no("res.body*", NO_BODY),
    no("res.cache_*", "nothing is cached"),
    no("res.comp*", "nothing is compressed"),
    no("res.cook*", "ask for the field: `res.hdr(set-cookie)`"),
    yes("res.fhdr"),
    yes("res.fhdr_cnt"),
    yes("res.hdr"),
    yes("res.hdr_cnt"),
    yes("res.hdr_ip"),
    no("res.hdr_names", "ask for each by its name: `res.hdr(NAME) -m found`"),
    yes("res.hdr_val"),
    no("res.hdrs*", "ask for each by its name: `res.hdr(NAME)`"),
    no("res.len", NO_BYTES),
    no("res.payload*", NO_BYTES),
    no("res.ssl_hello_type", NO_TLS),
    no("res.ver", "servers are spoken to in HTTP/1"),
    no("resp_ver", "servers are spoken to in HTTP/1"),
    no("sc_*", NO_STICK),
    no("sc0_*", NO_STICK),
    no("sc1_*", NO_STICK),
    no("sc2_*", NO_STICK),
    no("scook*", "ask for the field: `res.hdr(set-cookie)`"),
    yes("shdr"),
    yes("shdr_cnt"),
    yes("shdr_ip"),
    yes("shdr_val"),
    no("so_id", "use `fe_name` or `dst_port`"),
    no("so_name", "use `fe_name` or `dst_port`"),
    yes("src"),
    yes("src_port"),
    no("src_is_local", KERNEL),
    no("src_*", NO_STICK),
    yes("srv_conn"),
    no("srv_conn_free", "use `connslots`"),
    no("srv_id", "use `srv_name`"),
    yes("srv_is_up"),
    no("srv_iweight", "use `nbsrv` or `srv_is_up`"),
    yes("srv_name"),
    yes("srv_queue"),
    no("srv_sess_rate", NO_RATE),
    no("srv_uweight", "use `nbsrv` or `srv_is_up`"),
    no("srv_weight", "use `nbsrv` or `srv_is_up`"),
    yes("ssl_bc").but("always false: no connection is encrypted here"),
    no("ssl_bc_*", NO_TLS),
    no("ssl_c_*", NO_TLS),
    no("ssl_f_*", NO_TLS),
    yes("ssl_fc").but("always false: no connection is encrypted here"),
    no("ssl_fc_*", NO_TLS),
    no("ssl_s_*", NO_TLS),
    yes("status"),
    no("stopping", "what stops takes no new connections"),
    yes("str"),
    no("table_avl", NO_STICK),
    no("table_cnt", NO_STICK),
    no("thread", NO_INSIDES),
    yes("unique-id"),
    yes("url"),
    no("url32*", NO_HASH),
    no("url_ip", "use `dst`, or `hdr(host)`"),
    yes("url_param"),
    no("url_port", "use `dst_port`, or `hdr(host)`"),
    yes("urlp"),
    yes("urlp_val"),
    yes("uuid"),
    yes("var").but("of sess, txn, req and res"),
    no("wait_end", "rules look at a request when its head is complete: leave it out"),
];

/// Converters.
pub(crate) const CONVERTERS: &[Keyword] = &[
    yes("add"),
    no("add_item", "use `concat`"),
    no("aes_gcm_dec", "let the servers do that"),
    yes("and"),
    yes("b64dec"),
    yes("base64"),
    no("be2dec", "use `hex`"),
    no("be2hex", "use `hex`"),
    yes("bool"),
    yes("bytes"),
    no("capture-req", "write `http-request capture`"),
    no("capture-res", "write `http-response capture`"),
    yes("concat"),
    yes("cpl"),
    yes("crc32"),
    no("crc32c", NO_HASH),
    no("cut_crlf", "use `rtrim`"),
    no("debug", "write what is looked at into `log-format`"),
    no("digest", NO_HASH),
    yes("div"),
    no("djb2", NO_HASH),
    yes("even"),
    yes("field"),
    no("fix_*", NO_BYTES),
    yes("hex"),
    yes("hex2i"),
    no("hmac", "let the servers do that"),
    no("host_only", "use `field(1,:)`"),
    no("htonl", "use `hex`"),
    yes("http_date"),
    yes("iif"),
    no("in_table", NO_STICK),
    yes("ipmask"),
    no("json", "log lines are texts: escape by `%{+E}[…]`"),
    no("json_query", NO_BODY),
    no("jwt_*", NO_USERS),
    no("language", "let the servers choose the language"),
    yes("length"),
    yes("lower"),
    yes("ltime"),
    yes("ltrim"),
    no("lua.*", "there is no Lua"),
    yes("map"),
    yes("map_*").but("with texts for results, not numbers or addresses (`map_str_int`)"),
    yes("mod"),
    no("mqtt_*", NO_BYTES),
    yes("mul"),
    no("nbsrv", "name the backend: `nbsrv(NAME)`"),
    yes("neg"),
    yes("not"),
    yes("odd"),
    yes("or"),
    yes("param"),
    no("port_only", "use `field(2,:)`"),
    no("protobuf", NO_BODY),
    yes("regsub"),
    yes("rtrim"),
    no("sdbm", NO_HASH),
    no("secure_memcmp", "use `strcmp`"),
    no("set-var", "write `http-request set-var`"),
    no("sha1", NO_HASH),
    no("sha2", NO_HASH),
    no("srv_queue", "name the server: `srv_queue(BACKEND/SERVER)`"),
    yes("strcmp"),
    yes("sub"),
    no("table_*", NO_STICK),
    yes("ub64dec"),
    yes("ub64enc"),
    no("ungrpc", NO_BODY),
    no("unset-var", "write `http-request unset-var`"),
    yes("upper"),
    yes("url_dec"),
    yes("url_enc"),
    yes("utime"),
    yes("word"),
    no("wt6", NO_HASH),
    yes("xor"),
    no("xxh3", NO_HASH),
    no("xxh32", NO_HASH),
    no("xxh64", NO_HASH),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        action::{Action, Side},
        converter::Converter,
        fetch::Fetch,
        sample::Sample,
    };

    fn is_supported(table: &[Keyword], name: &str) -> bool {
        table.iter().find(|keyword| keyword.is(name)).is_some_and(|keyword| keyword.refused.is_none())
    }

    /// Whatever is read is in its table as supported, and the other way round: what is refused by the tables never gets
    /// to a reader, and what is supported is known to one.
    #[test]
    fn a_table_and_its_reader_know_the_same() {
        for keyword in ACTIONS {
            for (side, letter) in [(Side::Request, 'q'), (Side::Response, 's')] {
                let said = Action::read(side, &[keyword.name.trim_end_matches('*').to_owned()]);
                let is_unknown = matches!(&said, Err(why) if why.contains("is not known"));
                let is_refused = matches!(&said, Err(why) if why.contains("is not supported"));
                let expected = (
                    keyword.refused.is_none() && !keyword.directives.contains(letter),
                    keyword.refused.is_some(),
                );
                assert_eq!((is_unknown, is_refused), expected, "{} {letter}: {said:?}", keyword.name);
            }
        }
        let arguments = ["1", "2"].map(str::to_owned);
        for keyword in FETCHES {
            let name = keyword.name.trim_end_matches('*');
            let knows = (0..=arguments.len()).any(|count| {
                let read = |name| Fetch::read(name, &arguments[..count]);
                let derived = Sample::derived(name).is_some_and(|(base, _)| !matches!(read(base), Ok(None)));
                !matches!(read(name), Ok(None)) || derived
            });
            assert_eq!(knows, is_supported(FETCHES, name), "{}", keyword.name);
        }
        for keyword in CONVERTERS {
            let name = keyword.name.trim_end_matches('*');
            let said = Converter::read(name, &[]);
            let is_refused = matches!(&said, Err(why) if why.contains("is not supported"));
            assert_eq!(is_refused, keyword.refused.is_some(), "{}: {said:?}", keyword.name);
        }
        for name in ["lower", "regsub", "map_beg", "add", "even", "concat"] {
            assert!(is_supported(CONVERTERS, name), "{name}");
        }
    }

    /// The first that a word is decides: none is hidden by one before it.
    #[test]
    fn each_word_stands_once() {
        for table in [ACTIONS, FETCHES, CONVERTERS] {
            for (index, keyword) in table.iter().enumerate() {
                let name = keyword.name.trim_end_matches('*');
                assert!(!table[..index].iter().any(|earlier| earlier.is(name)), "{}", keyword.name);
            }
        }
    }

    #[test]
    fn a_word_that_is_near_is_named() {
        assert_eq!(
            unknown(CONVERTERS, "lowr", "converter"),
            "'lowr' is no converter that is known here; did you mean 'lower' maybe ?"
        );
        assert_eq!(refusal(FETCHES, "sc1_conn_rate"), Some(NO_STICK));
        assert_eq!(refusal(FETCHES, "src_conn_rate"), Some(NO_STICK));
        assert_eq!(refusal(FETCHES, "src_port"), None);
    }
}
