//! The fields of `show info`: names, order, numbers, tags and descriptions are HAProxy 2.6's.

use super::{Tags, Value};

/// What is said of the process.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Info(Vec<(InfoField, Value)>);

impl Info {
    /// All of it, in HAProxy's order; 0 where nothing is counted, as with HAProxy's own features that are not used.
    pub fn iter(&self) -> impl Iterator<Item = (InfoField, &Value)> {
        self.0.iter().map(|(field, value)| (*field, value))
    }

    /// What the field says.
    pub fn value(&self, field: InfoField) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == field).map(|(_, value)| value)
    }

    /// All fields, with the values that `of` gives.
    pub(super) fn fill(of: impl Fn(InfoField) -> Option<Value>) -> Self {
        Self(InfoField::ALL.iter().filter_map(|&field| Some((field, of(field)?))).collect())
    }
}

/// Variants, numbers, names, tags and descriptions.
macro_rules! fields {
    ($($variant:ident $number:literal $name:literal $tags:literal $description:literal,)*) => {
        /// A field of `show info`.
        #[expect(clippy::doc_markdown, reason = "the words are HAProxy\'s")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum InfoField {
            $(#[doc = $description] $variant,)*
        }

        impl InfoField {
            /// All of them, in HAProxy's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Its number in the typed and the JSON format.
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            /// What it is, in HAProxy's words.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)*
                }
            }

            /// Its tags.
            pub const fn tags(self) -> Tags {
                match self {
                    $(Self::$variant => Tags($tags),)*
                }
            }
        }
    };
}

fields! {
    Name 0 "Name" "POS" "Product name",
    Version 1 "Version" "POS" "Product version",
    ReleaseDate 2 "Release_date" "POS" "Date of latest source code update",
    Nbthread 3 "Nbthread" "CGS" "Number of started threads (global.nbthread)",
    Nbproc 4 "Nbproc" "CGS" "Number of started worker processes (historical, always 1)",
    ProcessNum 5 "Process_num" "KGP" "Relative worker process number (1)",
    Pid 6 "Pid" "SGP" "This worker process identifier for the system",
    Uptime 7 "Uptime" "MDP" "How long ago this worker process was started (days+hours+minutes+seconds)",
    UptimeSec 8 "Uptime_sec" "MDP" "How long ago this worker process was started (seconds)",
    MemmaxMB 9 "Memmax_MB" "CLP" "Worker process's hard limit on memory usage in MB (-m on command line)",
    PoolAllocMB 10 "PoolAlloc_MB" "MGP" "Amount of memory allocated in pools (in MB)",
    PoolUsedMB 11 "PoolUsed_MB" "MGP" "Amount of pool memory currently used (in MB)",
    PoolFailed 12 "PoolFailed" "MCP" "Number of failed pool allocations since this worker was started",
    UlimitN 13 "Ulimit-n" "CLP" "Hard limit on the number of per-process file descriptors",
    Maxsock 14 "Maxsock" "CLP" "Hard limit on the number of per-process sockets",
    Maxconn 15 "Maxconn" "CLP" "Hard limit on the number of per-process connections (configured or imposed by Ulimit-n)",
    HardMaxconn 16 "Hard_maxconn" "CLP" "Hard limit on the number of per-process connections (imposed by Memmax_MB or Ulimit-n)",
    CurrConns 17 "CurrConns" "MGP" "Current number of connections on this worker process",
    CumConns 18 "CumConns" "MCP" "Total number of connections on this worker process since started",
    CumReq 19 "CumReq" "MCP" "Total number of requests on this worker process since started",
    MaxSslConns 20 "MaxSslConns" "MMP" "Hard limit on the number of per-process SSL endpoints (front+back), 0=unlimited",
    CurrSslConns 21 "CurrSslConns" "MGP" "Current number of SSL endpoints on this worker process (front+back)",
    CumSslConns 22 "CumSslConns" "MCP" "Total number of SSL endpoints on this worker process since started (front+back)",
    Maxpipes 23 "Maxpipes" "CLP" "Hard limit on the number of pipes for splicing, 0=unlimited",
    PipesUsed 24 "PipesUsed" "MGP" "Current number of pipes in use in this worker process",
    PipesFree 25 "PipesFree" "MGP" "Current number of allocated and available pipes in this worker process",
    ConnRate 26 "ConnRate" "MRP" "Number of front connections created on this worker process over the last second",
    ConnRateLimit 27 "ConnRateLimit" "CLP" "Hard limit for ConnRate (global.maxconnrate)",
    MaxConnRate 28 "MaxConnRate" "MMP" "Highest ConnRate reached on this worker process since started (in connections per second)",
    SessRate 29 "SessRate" "MRP" "Number of sessions created on this worker process over the last second",
    SessRateLimit 30 "SessRateLimit" "CLP" "Hard limit for SessRate (global.maxsessrate)",
    MaxSessRate 31 "MaxSessRate" "MRP" "Highest SessRate reached on this worker process since started (in sessions per second)",
    SslRate 32 "SslRate" "MRP" "Number of SSL connections created on this worker process over the last second",
    SslRateLimit 33 "SslRateLimit" "CLP" "Hard limit for SslRate (global.maxsslrate)",
    MaxSslRate 34 "MaxSslRate" "MMP" "Highest SslRate reached on this worker process since started (in connections per second)",
    SslFrontendKeyRate 35 "SslFrontendKeyRate" "MGP" "Number of SSL keys created on frontends in this worker process over the last second",
    SslFrontendMaxKeyRate 36 "SslFrontendMaxKeyRate" "MMP" "Highest SslFrontendKeyRate reached on this worker process since started (in SSL keys per second)",
    SslFrontendSessionReusePct 37 "SslFrontendSessionReuse_pct" "MGP" "Percent of frontend SSL connections which did not require a new key",
    SslBackendKeyRate 38 "SslBackendKeyRate" "MRP" "Number of SSL keys created on backends in this worker process over the last second",
    SslBackendMaxKeyRate 39 "SslBackendMaxKeyRate" "MMP" "Highest SslBackendKeyRate reached on this worker process since started (in SSL keys per second)",
    SslCacheLookups 40 "SslCacheLookups" "MCP" "Total number of SSL session ID lookups in the SSL session cache on this worker since started",
    SslCacheMisses 41 "SslCacheMisses" "MCP" "Total number of SSL session ID lookups that didn't find a session in the SSL session cache on this worker since started",
    CompressBpsIn 42 "CompressBpsIn" "MRP" "Number of bytes submitted to the HTTP compressor in this worker process over the last second",
    CompressBpsOut 43 "CompressBpsOut" "MRP" "Number of bytes emitted by the HTTP compressor in this worker process over the last second",
    CompressBpsRateLim 44 "CompressBpsRateLim" "CLP" "Limit of CompressBpsOut beyond which HTTP compression is automatically disabled",
    Tasks 47 "Tasks" "MGP" "Total number of tasks in the current worker process (active + sleeping)",
    RunQueue 48 "Run_queue" "MGP" "Total number of active tasks+tasklets in the current worker process",
    IdlePct 49 "Idle_pct" "MaP" "Percentage of last second spent waiting in the current worker thread",
    Node 50 "node" "COS" "Node name (global.node)",
    Description 51 "description" "COS" "Node description (global.description)",
    Stopping 52 "Stopping" "MGP" "1 if the worker process is currently stopping, otherwise zero",
    Jobs 53 "Jobs" "MGP" "Current number of active jobs on the current worker process (frontend connections, master connections, listeners)",
    UnstoppableJobs 54 "Unstoppable Jobs" "MGP" "Current number of unstoppable jobs on the current worker process (master connections)",
    Listeners 55 "Listeners" "MGP" "Current number of active listeners on the current worker process",
    ActivePeers 56 "ActivePeers" "MGP" "Current number of verified active peers connections on the current worker process",
    ConnectedPeers 57 "ConnectedPeers" "MGP" "Current number of peers having passed the connection step on the current worker process",
    DroppedLogs 58 "DroppedLogs" "MGP" "Total number of dropped logs for current worker process since started",
    BusyPolling 59 "BusyPolling" "MGP" "1 if busy-polling is currently in use on the worker process, otherwise zero (config.busy-polling)",
    FailedResolutions 60 "FailedResolutions" "MGP" "Total number of failed DNS resolutions in current worker process since started",
    TotalBytesOut 61 "TotalBytesOut" "MGP" "Total number of bytes emitted by current worker process since started",
    TotalSplicdedBytesOut 62 "TotalSplicdedBytesOut" "MGP" "Total number of bytes emitted by current worker process through a kernel pipe since started",
    BytesOutRate 63 "BytesOutRate" "MRP" "Number of bytes emitted by current worker process over the last second",
    DebugCommandsIssued 64 "DebugCommandsIssued" "MGP" "Number of debug commands issued on this process (anything > 0 is unsafe)",
    CumRecvLogs 65 "CumRecvLogs" "MCP" "Total number of log messages received by log-forwarding listeners on this worker process since started",
    BuildInfo 66 "Build info" "POS" "Build info",
    MemmaxBytes 67 "Memmax_bytes" "CLP" "Worker process's hard limit on memory usage in byes (-m on command line)",
    PoolAllocBytes 68 "PoolAlloc_bytes" "MGP" "Amount of memory allocated in pools (in bytes)",
    PoolUsedBytes 69 "PoolUsed_bytes" "MGP" "Amount of pool memory currently used (in bytes)",
    StartTimeSec 70 "Start_time_sec" "MDP" "Start time in seconds",
    Tainted 71 "Tainted" "SGP" "Experimental features used",
}
