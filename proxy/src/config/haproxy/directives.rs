//! Every directive of HAProxy 2.6, and what becomes of it here.
//!
//! The table that people read (`proxy/DIRECTIVES.md`) is written from this one.

use super::{
    bind, check, global, log, proxy, rules,
    section::Directive,
    server,
    settings::{Kind, Reading, Side},
};

/// What becomes of a directive.
#[derive(Clone, Copy)]
pub(super) enum Does {
    /// It is read by this.
    Reads(fn(&mut Reading<'_>, &Directive)),
    /// A time for this key.
    Time(Side, &'static str),
    /// A number for this key.
    Number(Side, &'static str),
    /// All its words for this key.
    Words(Side, &'static str),
    /// An option, which sets this key or, after `no`, unsets it.
    Flag(Side, &'static str),
    /// What it asks for is so anyway.
    Nothing,
    /// It is ignored with a warning, for this reason.
    Ignored(&'static str),
    /// It is refused; this is why, and what to use.
    Refused(&'static str),
}

/// A directive.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Its name, of one to three words.
    pub(super) name: &'static str,
    /// Where it may stand: `G` global, `D` defaults, `F` frontend and listen, `B` backend and listen.
    pub(super) sections: &'static str,
    pub(super) does: Does,
}

impl Known {
    pub(super) fn stands_in(&self, kind: Kind) -> bool {
        let letters: &[char] = match kind {
            Kind::Global => &['G'],
            Kind::Defaults => &['D'],
            Kind::Frontend => &['F'],
            Kind::Backend => &['B'],
            Kind::Listen => &['F', 'B'],
        };
        self.sections.contains(letters)
    }

    /// How many words its name has.
    pub(super) fn words(&self) -> usize {
        self.name.split(' ').count()
    }
}

const fn known(name: &'static str, sections: &'static str, does: Does) -> Known {
    Known { name, sections, does }
}

use Does::{Flag, Ignored, Nothing, Number, Reads, Refused, Time, Words};
use Side::{Back, Front};

const SERVICE: &str = "that is the service manager's work: set it in the unit (`User=`, `RootDirectory=`, `LimitNOFILE=` and the like)";
const NO_TLS: &str = "TLS is not spoken here: put a program in front that ends it";
const NO_LUA: &str = "there is no Lua";
const NO_STICK: &str = "there are no stick tables: users are kept on their server by `cookie`";
const NO_TCP: &str = "connections are proxied as HTTP only: there are no rules for bytes of TCP";
const NO_FILTER: &str = "there are no filters: let the servers do that";
const KERNEL: &str = "the kernel's own setting holds";
const TUNING: &str = "it tunes HAProxy's own insides";
const GONE: &str = "HAProxy has removed it, too";
const PROTOCOL_CHECK: &str =
    "servers are checked by HTTP or a connection: let the server answer HTTP, and use `option httpchk`";

/// All of them, in the order of the alphabet within each group.
pub(super) const DIRECTIVES: &[Known] = &[
    // Of the process.
    known("51degrees-cache-size", "G", Refused(NO_FILTER)),
    known("51degrees-data-file", "G", Refused(NO_FILTER)),
    known("51degrees-property-name-list", "G", Refused(NO_FILTER)),
    known("51degrees-property-separator", "G", Refused(NO_FILTER)),
    known("busy-polling", "G", Ignored(TUNING)),
    known("ca-base", "G", Ignored("it is about certificates")),
    known("chroot", "G", Ignored(SERVICE)),
    known("close-spread-time", "G", Ignored("idle connections of a proxy that ends close at once")),
    known("cluster-secret", "G", Ignored("it is about QUIC")),
    known("cpu-map", "G", Ignored("the kernel's scheduler places the threads")),
    known("crt-base", "G", Ignored("it is about certificates")),
    known(
        "daemon",
        "G",
        Ignored("the program stays in the foreground, where a service manager wants it; there is no -D"),
    ),
    known("debug", "G", Ignored("there is one level of messages")),
    known("default-path", "G", Refused("write absolute paths")),
    known("description", "G", Ignored("it is shown nowhere")),
    known("expose-experimental-directives", "G", Ignored("there are none")),
    known(
        "external-check",
        "G",
        Refused("checks run no programs: let the server answer HTTP, and use `option httpchk`"),
    ),
    known("fd-hard-limit", "G", Ignored(SERVICE)),
    known("gid", "G", Ignored(SERVICE)),
    known("grace", "G", Refused("write `leave` under [admin] of a TOML configuration")),
    known("group", "G", Ignored(SERVICE)),
    known("h1-case-adjust", "G", Nothing),
    known("h1-case-adjust-file", "G", Nothing),
    known("h2-workaround-bogus-websocket-clients", "G", Nothing),
    known("hard-stop-after", "G", Reads(global::hard_stop_after)),
    known("insecure-fork-wanted", "G", Ignored("checks run no programs")),
    known("insecure-setuid-wanted", "G", Ignored("checks run no programs")),
    known("issuers-chain-path", "G", Ignored("it is about certificates")),
    known("key-base", "G", Ignored("it is about certificates")),
    known("localpeer", "G", Ignored("there are no peers")),
    known("log", "G", Reads(log::global_log)),
    known("log-send-hostname", "G", Reads(global::log_send_hostname)),
    known("log-tag", "GDFB", Reads(global::log_tag)),
    known("lua-load", "G", Refused(NO_LUA)),
    known("lua-load-per-thread", "G", Refused(NO_LUA)),
    known("lua-prepend-path", "G", Refused(NO_LUA)),
    known("master-worker", "G", Ignored("a reload (SIGHUP) or an upgrade (SIGUSR2) needs no master process")),
    known("max-spread-checks", "G", Ignored("first checks are spread over the interval")),
    known("maxcompcpuusage", "G", Ignored("nothing is compressed")),
    known("maxcomprate", "G", Ignored("nothing is compressed")),
    known(
        "maxconnrate",
        "G",
        Refused("there is no limit on rates: limit the number of connections by `maxconn`"),
    ),
    known("maxpipes", "G", Ignored(TUNING)),
    known(
        "maxsessrate",
        "G",
        Refused("there is no limit on rates: limit the number of connections by `maxconn`"),
    ),
    known("maxsslconn", "G", Ignored("it is about TLS")),
    known("maxsslrate", "G", Ignored("it is about TLS")),
    known("maxzlibmem", "G", Ignored("nothing is compressed")),
    known("mworker-max-reloads", "G", Ignored("a reload needs no master process")),
    known("nbproc", "G", Refused(GONE)),
    known("nbthread", "G", Reads(global::number)),
    known("no-memory-trimming", "G", Ignored(TUNING)),
    known("node", "G", Ignored("the machine's own name is told")),
    known("noepoll", "G", Ignored(TUNING)),
    known("noevports", "G", Ignored(TUNING)),
    known("nogetaddrinfo", "G", Ignored(TUNING)),
    known("nokqueue", "G", Ignored(TUNING)),
    known("nopoll", "G", Ignored(TUNING)),
    known("noreuseport", "G", Ignored("each core has its own listener")),
    known("nosplice", "G", Ignored(TUNING)),
    known("numa-cpu-mapping", "G", Ignored("the kernel's scheduler places the threads")),
    known("pidfile", "G", Ignored("a service manager knows the process; start it with -p to have a file")),
    known("pp2-never-send-local", "G", Nothing),
    known("prealloc-fd", "G", Ignored(TUNING)),
    known("presetenv", "G", Reads(global::environment)),
    known("quiet", "G", Ignored("there is one level of messages")),
    known("resetenv", "G", Refused("name what is to go: `unsetenv NAME`")),
    known(
        "server-state-base",
        "G",
        Ignored("what is known of servers goes from one process to the next by itself"),
    ),
    known(
        "server-state-file",
        "G",
        Ignored("what is known of servers goes from one process to the next by itself"),
    ),
    known("set-dumpable", "G", Ignored(SERVICE)),
    known("set-var", "G", Refused("there are no variables of the process")),
    known("set-var-fmt", "G", Refused("there are no variables of the process")),
    known("setcap", "G", Ignored(SERVICE)),
    known("setenv", "G", Reads(global::environment)),
    known("spread-checks", "G", Ignored("checks keep their interval")),
    known("ssl-default-bind-ciphers", "G", Ignored("it is about TLS")),
    known("ssl-default-bind-ciphersuites", "G", Ignored("it is about TLS")),
    known("ssl-default-bind-curves", "G", Ignored("it is about TLS")),
    known("ssl-default-bind-options", "G", Ignored("it is about TLS")),
    known("ssl-default-server-ciphers", "G", Ignored("it is about TLS")),
    known("ssl-default-server-ciphersuites", "G", Ignored("it is about TLS")),
    known("ssl-default-server-options", "G", Ignored("it is about TLS")),
    known("ssl-dh-param-file", "G", Ignored("it is about TLS")),
    known("ssl-engine", "G", Ignored("it is about TLS")),
    known("ssl-load-extra-del-ext", "G", Ignored("it is about TLS")),
    known("ssl-load-extra-files", "G", Ignored("it is about TLS")),
    known("ssl-mode-async", "G", Ignored("it is about TLS")),
    known("ssl-server-verify", "G", Ignored("it is about TLS")),
    known("ssl-skip-self-issued-ca", "G", Ignored("it is about TLS")),
    known("stats bind-process", "G", Ignored("there is one process")),
    known("stats maxconn", "G", Ignored("ten connections of operators are served at once")),
    known("stats socket", "G", Reads(global::stats_socket)),
    known("stats timeout", "G", Reads(global::stats_timeout)),
    known("strict-limits", "G", Ignored("the limit on descriptors is raised as far as it goes")),
    known("thread-group", "G", Ignored("the kernel's scheduler places the threads")),
    known("thread-groups", "G", Ignored("the kernel's scheduler places the threads")),
    known("tune.bufsize", "G", Reads(global::buffer)),
    known("tune.maxrewrite", "G", Reads(global::buffer)),
    known("uid", "G", Ignored(SERVICE)),
    known("ulimit-n", "G", Ignored("the limit on descriptors is raised as far as it goes")),
    known("unix-bind", "G", Ignored("clients come by TCP")),
    known("unsetenv", "G", Reads(global::environment)),
    known("user", "G", Ignored(SERVICE)),
    known(
        "zero-warning",
        "G",
        Refused("what is ignored is said, and a configuration with warnings is valid"),
    ),
    // Of proxies.
    known("acl", "DFB", Reads(rules::acl)),
    known("appsession", "DFB", Refused(GONE)),
    known("backlog", "DF", Ignored("4096 connections may wait in the kernel")),
    known("balance", "DB", Words(Back, "balance")),
    known("bind", "F", Reads(bind::bind)),
    known("bind-process", "DFB", Ignored("there is one process")),
    known("block", "DFB", Refused("HAProxy has removed it, too: write `http-request deny`")),
    known("capture cookie", "F", Reads(log::capture)),
    known("capture request header", "F", Reads(log::capture)),
    known("capture response header", "F", Reads(log::capture)),
    known("clitcpka-cnt", "DF", Ignored(KERNEL)),
    known("clitcpka-idle", "DF", Ignored(KERNEL)),
    known("clitcpka-intvl", "DF", Ignored(KERNEL)),
    known("clitimeout", "DFB", Refused("HAProxy has removed it, too: write `timeout client`")),
    known("compression", "DFB", Refused("nothing is compressed: let the servers do it")),
    known("contimeout", "DFB", Refused("HAProxy has removed it, too: write `timeout connect`")),
    known("cookie", "DB", Reads(proxy::cookie)),
    known("declare capture", "F", Refused("write `capture request header` or `capture response header`")),
    known("default-server", "DB", Reads(server::default_server)),
    known("default_backend", "DF", Reads(proxy::default_backend)),
    known("description", "FB", Ignored("it is shown nowhere")),
    known("disabled", "DFB", Reads(proxy::disabled)),
    known("dispatch", "B", Refused("write a `server`")),
    known("dynamic-cookie-key", "DB", Words(Back, "dynamic_cookie_key")),
    known("email-alert", "DFB", Refused("no mail is sent: changes of servers are in the log")),
    known("enabled", "DFB", Reads(proxy::disabled)),
    known("error-log-format", "DF", Refused("lines are those of `option httplog`")),
    known("errorfile", "DFB", Reads(rules::errorfile)),
    known("errorfiles", "DFB", Refused("write `errorfile` for each status")),
    known("errorloc", "DFB", Refused("write `errorfile` with a file that redirects")),
    known("errorloc302", "DFB", Refused("write `errorfile` with a file that redirects")),
    known("errorloc303", "DFB", Refused("write `errorfile` with a file that redirects")),
    known("external-check command", "DB", Refused("checks run no programs: use `option httpchk`")),
    known("external-check path", "DB", Refused("checks run no programs: use `option httpchk`")),
    known("filter", "FB", Refused(NO_FILTER)),
    known("force-persist", "FB", Refused("write `force_persist` in a TOML configuration")),
    known("fullconn", "DB", Number(Back, "fullconn")),
    known("grace", "DFB", Refused(GONE)),
    known("hash-type", "DB", Reads(proxy::hash_type)),
    known("http-after-response", "DFB", Refused("write `http-response`")),
    known("http-check comment", "DB", Nothing),
    known(
        "http-check connect",
        "DB",
        Refused("a check is one request to the server's address, or to that of `check addr` and `port`"),
    ),
    known("http-check disable-on-404", "DB", Reads(check::disable_on_404)),
    known("http-check expect", "DB", Reads(check::expect)),
    known("http-check send", "DB", Reads(check::send)),
    known("http-check send-state", "DB", Reads(check::send_state)),
    known("http-check set-var", "DB", Refused("a check has no variables")),
    known("http-check unset-var", "DB", Refused("a check has no variables")),
    known("http-error", "DFB", Refused("write `errorfile`")),
    known("http-request", "DFB", Reads(rules::http_request)),
    known("http-response", "DFB", Reads(rules::http_response)),
    known("http-reuse", "DB", Words(Back, "http_reuse")),
    known("http-send-name-header", "DB", Refused("let the servers know their own names")),
    known("id", "FB", Ignored("proxies have no numbers")),
    known("ignore-persist", "FB", Refused("write `ignore_persist` in a TOML configuration")),
    known(
        "load-server-state-from-file",
        "DB",
        Ignored("what is known of servers goes from one process to the next by itself"),
    ),
    known("log", "DFB", Reads(log::log)),
    known("log-format", "DF", Refused("lines are those of `option httplog`")),
    known("log-format-sd", "DF", Refused("lines are those of `option httplog`")),
    known("max-keep-alive-queue", "DB", Ignored("idle connections are used whoever waits")),
    known("maxconn", "G", Reads(global::number)),
    known("maxconn", "DF", Reads(proxy::maxconn)),
    known("mode", "DFB", Reads(proxy::mode)),
    known("monitor fail", "F", Reads(rules::monitor_fail)),
    known("monitor-net", "DF", Refused("HAProxy has removed it, too")),
    known("monitor-uri", "DF", Words(Front, "monitor_uri")),
    known("option abortonclose", "DB", Flag(Back, "abortonclose")),
    known(
        "option accept-invalid-http-request",
        "DF",
        Refused("what is no HTTP is refused: no server should have to guess what it means"),
    ),
    known("option accept-invalid-http-response", "DB", Refused("what is no HTTP is refused")),
    known("option allbackups", "DB", Flag(Back, "allbackups")),
    known("option checkcache", "DB", Refused("let the servers send what may be cached")),
    known("option clitcpka", "DF", Ignored(KERNEL)),
    known("option contstats", "DF", Nothing),
    known("option disable-h2-upgrade", "DF", Nothing),
    known("option dontlog-normal", "DF", Flag(Front, "dontlog_normal")),
    known("option dontlognull", "DF", Flag(Front, "dontlognull")),
    known("option external-check", "DB", Refused("checks run no programs: use `option httpchk`")),
    known("option forceclose", "DFB", Refused("HAProxy has removed it, too")),
    known("option forwardfor", "DFB", Reads(proxy::forwardfor)),
    known("option h1-case-adjust-bogus-client", "DF", Nothing),
    known("option h1-case-adjust-bogus-server", "DB", Nothing),
    known("option http-buffer-request", "DFB", Refused("a body goes on as it comes")),
    known(
        "option http-ignore-probes",
        "DF",
        Ignored("a connection on which nothing comes is answered 408 before it is closed"),
    ),
    known("option http-keep-alive", "DFB", Nothing),
    known("option http-no-delay", "DFB", Nothing),
    known("option http-pretend-keepalive", "DB", Nothing),
    known("option http-restrict-req-hdr-names", "DFB", Refused("all names that HTTP allows pass")),
    known(
        "option http-server-close",
        "DFB",
        Ignored(
            "connections to servers are kept and used again; a server that wants them closed says `Connection: close`",
        ),
    ),
    known("option http-tunnel", "DFB", Refused(GONE)),
    known("option http-use-htx", "DFB", Refused(GONE)),
    known("option http-use-proxy-header", "DF", Refused("`Proxy-Connection` has no meaning")),
    known("option http_proxy", "DFB", Refused(GONE)),
    known("option httpchk", "DB", Reads(check::httpchk)),
    known(
        "option httpclose",
        "DFB",
        Refused("connections are kept: clients and servers that want them closed say so"),
    ),
    known("option httplog", "DF", Reads(log::httplog)),
    known("option httpslog", "DF", Refused("write `option httplog`: TLS is not spoken here")),
    known("option idle-close-on-response", "DF", Nothing),
    known("option independent-streams", "DFB", Ignored("a client that sends is not silent")),
    known("option ldap-check", "DB", Refused(PROTOCOL_CHECK)),
    known("option log-health-checks", "DB", Ignored("changes of servers are in the log, but not each check")),
    known("option log-separate-errors", "DF", Flag(Front, "log_separate_errors")),
    known("option logasap", "DF", Ignored("lines are written when requests are over")),
    known("option mysql-check", "DB", Refused(PROTOCOL_CHECK)),
    known("option nolinger", "DFB", Ignored(KERNEL)),
    known("option originalto", "DFB", Refused("no header tells to which address the client had connected")),
    known("option persist", "DB", Flag(Back, "persist")),
    known("option pgsql-check", "DB", Refused(PROTOCOL_CHECK)),
    known(
        "option prefer-last-server",
        "DB",
        Ignored("each request is balanced, but those that a server has authenticated with its connection"),
    ),
    known("option redis-check", "DB", Refused(PROTOCOL_CHECK)),
    known("option redispatch", "DB", Reads(proxy::redispatch)),
    known("option smtpchk", "DB", Refused(PROTOCOL_CHECK)),
    known("option socket-stats", "DF", Ignored("each frontend is counted as a whole")),
    known("option splice-auto", "DFB", Nothing),
    known("option splice-request", "DFB", Nothing),
    known("option splice-response", "DFB", Nothing),
    known("option spop-check", "DB", Refused(PROTOCOL_CHECK)),
    known("option srvtcpka", "DB", Ignored(KERNEL)),
    known("option ssl-hello-chk", "DB", Refused(PROTOCOL_CHECK)),
    known("option tcp-check", "DB", Reads(check::tcp_check)),
    known("option tcp-smart-accept", "DF", Ignored(KERNEL)),
    known("option tcp-smart-connect", "DB", Ignored(KERNEL)),
    known("option tcpka", "DFB", Ignored(KERNEL)),
    known("option tcplog", "DF", Reads(log::tcplog)),
    known("option transparent", "DB", Refused("there is no transparent proxying: write a `server`")),
    known("persist rdp-cookie", "DB", Refused("there is no RDP")),
    known(
        "rate-limit sessions",
        "DF",
        Refused("there is no limit on rates: limit the number of connections by `maxconn`"),
    ),
    known("redirect", "DFB", Reads(rules::redirect)),
    known("redisp", "DFB", Refused("HAProxy has removed it, too: write `option redispatch`")),
    known("redispatch", "DFB", Refused("HAProxy has removed it, too: write `option redispatch`")),
    known("reqadd", "DFB", Refused("HAProxy has removed it, too: write `http-request add-header`")),
    known("reqdel", "DFB", Refused("HAProxy has removed it, too: write `http-request del-header`")),
    known("reqdeny", "DFB", Refused("HAProxy has removed it, too: write `http-request deny`")),
    known("reqidel", "DFB", Refused("HAProxy has removed it, too: write `http-request del-header`")),
    known("reqideny", "DFB", Refused("HAProxy has removed it, too: write `http-request deny`")),
    known("reqirep", "DFB", Refused("HAProxy has removed it, too: write `http-request replace-header`")),
    known("reqrep", "DFB", Refused("HAProxy has removed it, too: write `http-request replace-header`")),
    known("retries", "DB", Number(Back, "retries")),
    known("retry-on", "DB", Reads(proxy::retry_on)),
    known("rspadd", "DFB", Refused("HAProxy has removed it, too: write `http-response add-header`")),
    known("rspdel", "DFB", Refused("HAProxy has removed it, too: write `http-response del-header`")),
    known("rspidel", "DFB", Refused("HAProxy has removed it, too: write `http-response del-header`")),
    known("rspirep", "DFB", Refused("HAProxy has removed it, too: write `http-response replace-header`")),
    known("rsprep", "DFB", Refused("HAProxy has removed it, too: write `http-response replace-header`")),
    known("server", "B", Reads(server::server)),
    known(
        "server-state-file-name",
        "DB",
        Ignored("what is known of servers goes from one process to the next by itself"),
    ),
    known("server-template", "B", Refused("write each `server`")),
    known("source", "DB", Refused("the kernel's routes say from which address connections go out")),
    known("srvtcpka-cnt", "DB", Ignored(KERNEL)),
    known("srvtcpka-idle", "DB", Ignored(KERNEL)),
    known("srvtcpka-intvl", "DB", Ignored(KERNEL)),
    known("srvtimeout", "DFB", Refused("HAProxy has removed it, too: write `timeout server`")),
    known(
        "stats",
        "DFB",
        Ignored("the statistics are on the port of `[admin] listen` in a TOML configuration"),
    ),
    known("stick match", "B", Refused(NO_STICK)),
    known("stick on", "B", Refused(NO_STICK)),
    known("stick store-request", "B", Refused(NO_STICK)),
    known("stick store-response", "B", Refused(NO_STICK)),
    known("stick-table", "FB", Refused(NO_STICK)),
    known("tcp-check", "DB", Reads(check::tcp_check_rule)),
    known("tcp-request", "DFB", Refused(NO_TCP)),
    known("tcp-response", "DB", Refused(NO_TCP)),
    known("timeout check", "DB", Time(Back, "timeout.check")),
    known("timeout client", "DF", Time(Front, "timeout.client")),
    known("timeout client-fin", "DF", Time(Front, "timeout.client_fin")),
    known("timeout connect", "DB", Time(Back, "timeout.connect")),
    known("timeout http-keep-alive", "DFB", Time(Front, "timeout.http_keep_alive")),
    known("timeout http-request", "DFB", Time(Front, "timeout.http_request")),
    known("timeout queue", "DB", Time(Back, "timeout.queue")),
    known("timeout server", "DB", Time(Back, "timeout.server")),
    known("timeout server-fin", "DB", Time(Back, "timeout.server_fin")),
    known("timeout tarpit", "DFB", Ignored("who is held waits for `timeout connect`")),
    known("timeout tunnel", "DB", Time(Back, "timeout.tunnel")),
    known("transparent", "DB", Refused("there is no transparent proxying: write a `server`")),
    known("unique-id-format", "DF", Refused("requests have no numbers")),
    known("unique-id-header", "DF", Refused("requests have no numbers")),
    known("use-fcgi-app", "B", Refused("servers speak HTTP: put one that speaks FastCGI behind")),
    known("use-server", "B", Refused("users are kept on their server by `cookie`")),
    known("use_backend", "F", Reads(rules::use_backend)),
];

/// What a directive is that the table does not have by name, but by its beginning.
pub(super) const BEGINNINGS: &[Known] = &[
    known("deviceatlas-", "G", Refused(NO_FILTER)),
    known("httpclient.", "G", Ignored("no requests of its own are made")),
    known("profiling.", "G", Ignored(TUNING)),
    known("tune.", "G", Ignored(TUNING)),
    known("wurfl-", "G", Refused(NO_FILTER)),
];

/// Sections that hold nothing that is supported, and what is used in their place.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("userlist", "users are authenticated by the servers"),
    ("peers", NO_STICK),
    ("resolvers", "names are looked up once, when the configuration is read"),
    ("mailers", "no mail is sent: changes of servers are in the log"),
    ("cache", "nothing is cached: put a cache behind"),
    ("program", "programs are started by the service manager"),
    ("ring", "logs go to a syslog, a file or standard output"),
    ("http-errors", "write `errorfile` for each status"),
    ("fcgi-app", "servers speak HTTP"),
    ("log-forward", "it is no syslog server"),
    ("crt-list", NO_TLS),
    ("traces", "it is about HAProxy's insides"),
    ("dynamic-update", "the file's servers are all there are"),
    ("namespace_list", "start drain-proxy in the namespace in which its servers are"),
];

/// The directive whose name these words begin with, in a section of this kind; failing that, in any.
pub(super) fn find(words: &[String], kind: Kind) -> Option<(&'static Known, usize)> {
    let is_it = |known: &&Known| {
        let name: Vec<_> = known.name.split(' ').collect();
        words.len() >= name.len() && words.iter().zip(&name).all(|(word, part)| word == part)
    };
    let longest = |known: &&Known| known.words();
    let here = DIRECTIVES.iter().filter(|known| known.stands_in(kind)).filter(is_it).max_by_key(longest);
    let found = here.or_else(|| DIRECTIVES.iter().filter(is_it).max_by_key(longest));
    let begins = |known: &&Known| words[0].starts_with(known.name);
    let found = found.or_else(|| BEGINNINGS.iter().find(begins));
    found.map(|known| (known, known.words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once_in_a_section() {
        for (index, one) in DIRECTIVES.iter().enumerate() {
            assert!(one.words() <= 3 && !one.sections.is_empty(), "{}", one.name);
            let again = DIRECTIVES[index + 1..].iter().filter(|other| other.name == one.name);
            for other in again {
                assert!(!other.sections.contains(|c| one.sections.contains(c)), "{}", one.name);
            }
        }
    }

    #[test]
    fn the_longest_name_counts() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let name = |text: &str, kind| find(&words(text), kind).map(|(known, _)| known.name);
        assert_eq!(name("http-check send-state", Kind::Backend), Some("http-check send-state"));
        assert_eq!(name("http-check send meth GET", Kind::Backend), Some("http-check send"));
        assert_eq!(name("tune.idletimer 1", Kind::Global), Some("tune."));
        assert_eq!(name("nope", Kind::Global), None);
    }
}
