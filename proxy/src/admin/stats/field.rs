//! The fields of `show stat`: names, order, tags and descriptions are HAProxy 2.6's.

use super::Kind;

/// Where a value comes from, what it is and how far it reaches: the three letters of HAProxy's typed format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tags(pub &'static str);

impl Tags {
    /// Origin, nature and scope, as the JSON format spells them.
    pub fn words(self) -> [&'static str; 3] {
        let [origin, nature, scope] = [0, 1, 2].map(|at| self.0.as_bytes()[at]);
        let origin = match origin {
            b'M' => "Metric",
            b'S' => "Status",
            b'K' => "Key",
            b'C' => "Config",
            _ => "Product",
        };
        let nature = match nature {
            b'G' => "Gauge",
            b'L' => "Limit",
            b'M' => "Max",
            b'R' => "Rate",
            b'C' => "Counter",
            b'D' => "Duration",
            b'A' => "Age",
            b'N' => "Name",
            b'a' => "Avg",
            _ => "Output",
        };
        [origin, nature, if scope == b'S' { "Service" } else { "Process" }]
    }
}

/// Variants, names, tags (those of backends behind a slash, where they are others) and descriptions.
macro_rules! fields {
    ($($variant:ident $name:literal $tags:literal $(/ $of_backend:literal)? $description:literal,)*) => {
        /// A field of `show stat`.
        #[expect(clippy::doc_markdown, reason = "the words are HAProxy\'s")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Field {
            $(#[doc = $description] $variant,)*
        }

        impl Field {
            /// All of them, in HAProxy's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in the header.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it is, in HAProxy's words.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)*
                }
            }

            const fn all_tags(self) -> (&'static str, Option<&'static str>) {
                match self {
                    $(Self::$variant => ($tags, fields!(@ $($of_backend)?)),)*
                }
            }
        }
    };
    (@ $tags:literal) => { Some($tags) };
    (@) => { None };
}

fields! {
    Pxname "pxname" "KNS" "Proxy name",
    Svname "svname" "KNS" "Server name",
    Qcur "qcur" "MGP" "Number of current queued connections",
    Qmax "qmax" "MMP" "Highest value of queued connections encountered since process started",
    Scur "scur" "MGP" "Number of current sessions on the frontend, backend or server",
    Smax "smax" "MMP" "Highest value of current sessions encountered since process started",
    Slim "slim" "CLP" "Frontend/listener/server's maxconn, backend's fullconn",
    Stot "stot" "MCP" "Total number of sessions since process started",
    Bin "bin" "MCP" "Total number of request bytes since process started",
    Bout "bout" "MCP" "Total number of response bytes since process started",
    Dreq "dreq" "MCP" "Total number of denied requests since process started",
    Dresp "dresp" "MCP" "Total number of denied responses since process started",
    Ereq "ereq" "MCP" "Total number of invalid requests since process started",
    Econ "econ" "MCP" "Total number of failed connections to server since the worker process started",
    Eresp "eresp" "MCP" "Total number of invalid responses since the worker process started",
    Wretr "wretr" "MCP" "Total number of server connection retries since the worker process started",
    Wredis "wredis" "MCP" "Total number of server redispatches due to connection failures since the worker process started",
    Status "status" "SGP" "Frontend/listen status: OPEN/WAITING/FULL/STOP; backend: UP/DOWN; server: last check status",
    Weight "weight" "MaP" "Server's effective weight, or sum of active servers' effective weights for a backend",
    Act "act" "SGP" / "MGP" "Total number of active UP servers with a non-zero weight",
    Bck "bck" "SGP" / "MGP" "Total number of backup UP servers with a non-zero weight",
    Chkfail "chkfail" "MCP" "Total number of failed individual health checks per server/backend, since the worker process started",
    Chkdown "chkdown" "MCP" "Total number of failed checks causing UP to DOWN server transitions, per server/backend, since the worker process started",
    Lastchg "lastchg" "MAP" "How long ago the last server state changed, in seconds",
    Downtime "downtime" "MCP" "Total time spent in DOWN state, for server or backend",
    Qlimit "qlimit" "CLS" "Limit on the number of connections in queue, for servers only (maxqueue argument)",
    Pid "pid" "KGP" "Relative worker process number (1)",
    Iid "iid" "KGS" "Frontend or Backend numeric identifier ('id' setting)",
    Sid "sid" "KGS" "Server numeric identifier ('id' setting)",
    Throttle "throttle" "MaP" "Throttling ratio applied to a server's maxconn and weight during the slowstart period (0 to 100%)",
    Lbtot "lbtot" "MCP" "Total number of requests routed by load balancing since the worker process started (ignores queue pop and stickiness)",
    Tracked "tracked" "CNS" "Name of the other server this server tracks for its state",
    Type "type" "CGS" "Type of the object (Listener, Frontend, Backend, Server)",
    Rate "rate" "MRP" / "MGP" "Total number of sessions processed by this object over the last second (sessions for listeners/frontends, requests for backends/servers)",
    RateLim "rate_lim" "CLP" "Limit on the number of sessions accepted in a second (frontend only, 'rate-limit sessions' setting)",
    RateMax "rate_max" "MMP" / "MGP" "Highest value of sessions per second observed since the worker process started",
    CheckStatus "check_status" "MOP" "Status report of the server's latest health check, prefixed with '*' if a check is currently in progress",
    CheckCode "check_code" "MOP" "HTTP/SMTP/LDAP status code reported by the latest server health check",
    CheckDuration "check_duration" "MDP" "Total duration of the latest server health check, in milliseconds",
    Hrsp1xx "hrsp_1xx" "MCP" "Total number of HTTP responses with status 100-199 returned by this object since the worker process started",
    Hrsp2xx "hrsp_2xx" "MCP" "Total number of HTTP responses with status 200-299 returned by this object since the worker process started",
    Hrsp3xx "hrsp_3xx" "MCP" "Total number of HTTP responses with status 300-399 returned by this object since the worker process started",
    Hrsp4xx "hrsp_4xx" "MCP" "Total number of HTTP responses with status 400-499 returned by this object since the worker process started",
    Hrsp5xx "hrsp_5xx" "MCP" "Total number of HTTP responses with status 500-599 returned by this object since the worker process started",
    HrspOther "hrsp_other" "MCP" "Total number of HTTP responses with status <100, >599 returned by this object since the worker process started (error -1 included)",
    Hanafail "hanafail" "MCP" "Total number of failed checks caused by an 'on-error' directive after an 'observe' condition matched",
    ReqRate "req_rate" "MRP" "Number of HTTP requests processed over the last second on this object",
    ReqRateMax "req_rate_max" "MMP" "Highest value of http requests observed since the worker process started",
    ReqTot "req_tot" "MCP" "Total number of HTTP requests processed by this object since the worker process started",
    CliAbrt "cli_abrt" "MCP" "Total number of requests or connections aborted by the client since the worker process started",
    SrvAbrt "srv_abrt" "MCP" "Total number of requests or connections aborted by the server since the worker process started",
    CompIn "comp_in" "MCP" "Total number of bytes submitted to the HTTP compressor for this object since the worker process started",
    CompOut "comp_out" "MCP" "Total number of bytes emitted by the HTTP compressor for this object since the worker process started",
    CompByp "comp_byp" "MCP" "Total number of bytes that bypassed HTTP compression for this object since the worker process started (CPU/memory/bandwidth limitation)",
    CompRsp "comp_rsp" "MCP" "Total number of HTTP responses that were compressed for this object since the worker process started",
    Lastsess "lastsess" "MAP" "How long ago some traffic was seen on this object on this worker process, in seconds",
    LastChk "last_chk" "MOP" "Short description of the latest health check report for this server (see also check_desc)",
    LastAgt "last_agt" "MOP" "Short description of the latest agent check report for this server (see also agent_desc)",
    Qtime "qtime" "MaP" "Time spent in the queue, in milliseconds, averaged over the 1024 last requests (backend/server)",
    Ctime "ctime" "MaP" "Time spent waiting for a connection to complete, in milliseconds, averaged over the 1024 last requests (backend/server)",
    Rtime "rtime" "MaP" "Time spent waiting for a server response, in milliseconds, averaged over the 1024 last requests (backend/server)",
    Ttime "ttime" "MaP" "Total request+response time (request+queue+connect+response+processing), in milliseconds, averaged over the 1024 last requests (backend/server)",
    AgentStatus "agent_status" "MOP" "Status report of the server's latest agent check, prefixed with '*' if a check is currently in progress",
    AgentCode "agent_code" "MOP" "Status code reported by the latest server agent check",
    AgentDuration "agent_duration" "MDP" "Total duration of the latest server agent check, in milliseconds",
    CheckDesc "check_desc" "MOP" "Textual description of the latest health check report for this server",
    AgentDesc "agent_desc" "MOP" "Textual description of the latest agent check report for this server",
    CheckRise "check_rise" "CGS" "Number of successful health checks before declaring a server UP (server 'rise' setting)",
    CheckFall "check_fall" "CGS" "Number of failed health checks before declaring a server DOWN (server 'fall' setting)",
    CheckHealth "check_health" "CGS" "Current server health check level (0..fall-1=DOWN, fall..rise-1=UP)",
    AgentRise "agent_rise" "CGS" "Number of successful agent checks before declaring a server UP (server 'rise' setting)",
    AgentFall "agent_fall" "CGS" "Number of failed agent checks before declaring a server DOWN (server 'fall' setting)",
    AgentHealth "agent_health" "CGS" "Current server agent check level (0..fall-1=DOWN, fall..rise-1=UP)",
    Addr "addr" "CGS" "Server's address:port, shown only if show-legends is set, or at levels oper/admin for the CLI",
    Cookie "cookie" "CNS" "Backend's cookie name or Server's cookie value, shown only if show-legends is set, or at levels oper/admin for the CLI",
    Mode "mode" "CGS" "'mode' setting (tcp/http/health/cli)",
    Algo "algo" "CGS" "Backend's load balancing algorithm, shown only if show-legends is set, or at levels oper/admin for the CLI",
    ConnRate "conn_rate" "MRP" "Number of new connections accepted over the last second on the frontend for this worker process",
    ConnRateMax "conn_rate_max" "MMP" "Highest value of connections per second observed since the worker process started",
    ConnTot "conn_tot" "MCP" "Total number of new connections accepted on this frontend since the worker process started",
    Intercepted "intercepted" "MCP" "Total number of HTTP requests intercepted on the frontend (redirects/stats/services) since the worker process started",
    Dcon "dcon" "MCP" "Total number of incoming connections blocked on a listener/frontend by a tcp-request connection rule since the worker process started",
    Dses "dses" "MCP" "Total number of incoming sessions blocked on a listener/frontend by a tcp-request connection rule since the worker process started",
    Wrew "wrew" "MCP" "Total number of failed HTTP header rewrites since the worker process started",
    Connect "connect" "MCP" "Total number of outgoing connection attempts on this backend/server since the worker process started",
    Reuse "reuse" "MCP" "Total number of reused connection on this backend/server since the worker process started",
    CacheLookups "cache_lookups" "MCP" "Total number of HTTP requests looked up in the cache on this frontend/backend since the worker process started",
    CacheHits "cache_hits" "MCP" "Total number of HTTP requests not found in the cache on this frontend/backend since the worker process started",
    SrvIcur "srv_icur" "MGP" "Current number of idle connections available for reuse on this server",
    SrcIlim "src_ilim" "CLP" "Limit on the number of available idle connections on this server (server 'pool_max_conn' directive)",
    QtimeMax "qtime_max" "MMP" "Maximum observed time spent in the queue, in milliseconds (backend/server)",
    CtimeMax "ctime_max" "MMP" "Maximum observed time spent waiting for a connection to complete, in milliseconds (backend/server)",
    RtimeMax "rtime_max" "MMP" "Maximum observed time spent waiting for a server response, in milliseconds (backend/server)",
    TtimeMax "ttime_max" "MMP" "Maximum observed total request+response time (request+queue+connect+response+processing), in milliseconds (backend/server)",
    Eint "eint" "MCP" "Total number of internal errors since process started",
    IdleConnCur "idle_conn_cur" "MGP" "Current number of unsafe idle connections",
    SafeConnCur "safe_conn_cur" "MGP" "Current number of safe idle connections",
    UsedConnCur "used_conn_cur" "MGP" "Current number of connections in use",
    NeedConnEst "need_conn_est" "MGP" "Estimated needed number of connections",
    Uweight "uweight" "MaP" "Server's user weight, or sum of active servers' user weights for a backend",
    AggServerStatus "agg_server_status" "MGP" "Backend's aggregated gauge of servers' status",
    AggServerCheckStatus "agg_server_check_status" "MGP" "Backend's aggregated gauge of servers' state check status",
    AggCheckStatus "agg_check_status" "MGP" "Backend's aggregated gauge of servers' state check status",
}

impl Field {
    /// Its column, from 0.
    pub const fn place(self) -> usize {
        self as usize
    }

    /// Its tags in rows of this kind.
    pub const fn tags(self, kind: Kind) -> Tags {
        match (self.all_tags(), kind) {
            ((_, Some(of_backend)), Kind::Backend) => Tags(of_backend),
            ((tags, _), _) => Tags(tags),
        }
    }

    /// The field of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_haproxy_has_them() {
        for (place, name) in [
            (0, "pxname"),
            (17, "status"),
            (32, "type"),
            (48, "req_tot"),
            (73, "addr"),
            (89, "src_ilim"),
            (102, "agg_check_status"),
        ] {
            assert_eq!(Field::ALL[place].name(), name);
            assert_eq!(Field::named(name).map(Field::place), Some(place));
        }
        assert_eq!(Field::ALL.len(), 103);
    }

    #[test]
    fn a_backends_tags_are_its_own_where_haproxys_are() {
        assert_eq!(Field::Rate.tags(Kind::Server).0, "MRP");
        assert_eq!(Field::Rate.tags(Kind::Backend).0, "MGP");
        assert_eq!(Field::Weight.tags(Kind::Backend).words(), ["Metric", "Avg", "Process"]);
    }
}
