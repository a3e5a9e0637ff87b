//! The names of HAProxy's own exporter, and the fields that stand behind them.

use crate::admin::stats::{Field, InfoField, Kind};

/// A number of HAProxy's that has one field behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric<F> {
    /// What stands behind `haproxy_KIND_`. It ends in `_total` where it is a counter.
    pub(super) name: &'static str,
    /// What is behind it.
    pub(super) field: F,
    /// The field is in milliseconds, the metric in seconds.
    pub(super) is_milliseconds: bool,
}

const fn plain<F: Copy>(name: &'static str, field: F) -> Metric<F> {
    Metric { name, field, is_milliseconds: false }
}

const fn milliseconds<F: Copy>(name: &'static str, field: F) -> Metric<F> {
    Metric { name, field, is_milliseconds: true }
}

/// `haproxy_process_…`, as far as there is anything to count.
pub(super) const PROCESS: &[Metric<InfoField>] = &[
    plain("nbthread", InfoField::Nbthread),
    plain("nbproc", InfoField::Nbproc),
    plain("relative_process_id", InfoField::ProcessNum),
    plain("uptime_seconds", InfoField::UptimeSec),
    plain("max_fds", InfoField::UlimitN),
    plain("max_sockets", InfoField::Maxsock),
    plain("max_connections", InfoField::Maxconn),
    plain("hard_max_connections", InfoField::HardMaxconn),
    plain("current_connections", InfoField::CurrConns),
    plain("connections_total", InfoField::CumConns),
    plain("requests_total", InfoField::CumReq),
    plain("current_connection_rate", InfoField::ConnRate),
    plain("max_connection_rate", InfoField::MaxConnRate),
    plain("current_session_rate", InfoField::SessRate),
    plain("max_session_rate", InfoField::MaxSessRate),
    plain("current_tasks", InfoField::Tasks),
    plain("idle_time_percent", InfoField::IdlePct),
    plain("stopping", InfoField::Stopping),
    plain("jobs", InfoField::Jobs),
    plain("listeners", InfoField::Listeners),
    plain("dropped_logs_total", InfoField::DroppedLogs),
    plain("bytes_out_total", InfoField::TotalBytesOut),
    plain("spliced_bytes_out_total", InfoField::TotalSplicdedBytesOut),
    plain("bytes_out_rate", InfoField::BytesOutRate),
    plain("start_time_seconds", InfoField::StartTimeSec),
];

const ALL: &[Kind] = &[Kind::Frontend, Kind::Backend, Kind::Server];
const PROXIES: &[Kind] = &[Kind::Frontend, Kind::Backend];
const TOWARDS_SERVERS: &[Kind] = &[Kind::Backend, Kind::Server];

/// `haproxy_frontend_…`, `haproxy_backend_…` and `haproxy_server_…`: which kinds have them, and what they have.
pub(super) const ROWS: &[(&[Kind], &[Metric<Field>])] = &[
    (
        ALL,
        &[
            plain("current_sessions", Field::Scur),
            plain("max_sessions", Field::Smax),
            plain("limit_sessions", Field::Slim),
            plain("sessions_total", Field::Stot),
            plain("bytes_in_total", Field::Bin),
            plain("bytes_out_total", Field::Bout),
            plain("responses_denied_total", Field::Dresp),
            plain("max_session_rate", Field::RateMax),
            plain("failed_header_rewriting_total", Field::Wrew),
            plain("internal_errors_total", Field::Eint),
        ],
    ),
    (
        PROXIES,
        &[
            plain("requests_denied_total", Field::Dreq),
            plain("http_requests_total", Field::ReqTot),
            plain("http_comp_bytes_in_total", Field::CompIn),
            plain("http_comp_bytes_out_total", Field::CompOut),
            plain("http_comp_bytes_bypassed_total", Field::CompByp),
            plain("http_comp_responses_total", Field::CompRsp),
            plain("http_cache_lookups_total", Field::CacheLookups),
            plain("http_cache_hits_total", Field::CacheHits),
        ],
    ),
    (
        TOWARDS_SERVERS,
        &[
            plain("current_queue", Field::Qcur),
            plain("max_queue", Field::Qmax),
            plain("connection_errors_total", Field::Econ),
            plain("response_errors_total", Field::Eresp),
            plain("retry_warnings_total", Field::Wretr),
            plain("redispatch_warnings_total", Field::Wredis),
            plain("weight", Field::Weight),
            plain("check_up_down_total", Field::Chkdown),
            plain("check_last_change_seconds", Field::Lastchg),
            plain("downtime_seconds_total", Field::Downtime),
            plain("loadbalanced_total", Field::Lbtot),
            plain("client_aborts_total", Field::CliAbrt),
            plain("server_aborts_total", Field::SrvAbrt),
            plain("last_session_seconds", Field::Lastsess),
            milliseconds("queue_time_average_seconds", Field::Qtime),
            milliseconds("connect_time_average_seconds", Field::Ctime),
            milliseconds("response_time_average_seconds", Field::Rtime),
            milliseconds("total_time_average_seconds", Field::Ttime),
            plain("connection_attempts_total", Field::Connect),
            plain("connection_reuses_total", Field::Reuse),
            milliseconds("max_queue_time_seconds", Field::QtimeMax),
            milliseconds("max_connect_time_seconds", Field::CtimeMax),
            milliseconds("max_response_time_seconds", Field::RtimeMax),
            milliseconds("max_total_time_seconds", Field::TtimeMax),
            plain("uweight", Field::Uweight),
        ],
    ),
    (
        &[Kind::Frontend],
        &[
            plain("request_errors_total", Field::Ereq),
            plain("limit_session_rate", Field::RateLim),
            plain("http_requests_rate_max", Field::ReqRateMax),
            plain("connections_rate_max", Field::ConnRateMax),
            plain("connections_total", Field::ConnTot),
            plain("intercepted_requests_total", Field::Intercepted),
            plain("denied_connections_total", Field::Dcon),
            plain("denied_sessions_total", Field::Dses),
        ],
    ),
    (&[Kind::Backend], &[plain("active_servers", Field::Act), plain("backup_servers", Field::Bck)]),
    (
        &[Kind::Server],
        &[
            plain("check_failures_total", Field::Chkfail),
            plain("queue_limit", Field::Qlimit),
            plain("current_throttle", Field::Throttle),
            plain("check_code", Field::CheckCode),
            milliseconds("check_duration_seconds", Field::CheckDuration),
            plain("idle_connections_current", Field::SrvIcur),
            plain("idle_connections_limit", Field::SrcIlim),
            plain("unsafe_idle_connections_current", Field::IdleConnCur),
            plain("safe_idle_connections_current", Field::SafeConnCur),
            plain("used_connections_current", Field::UsedConnCur),
            plain("need_connections_current", Field::NeedConnEst),
        ],
    ),
];
