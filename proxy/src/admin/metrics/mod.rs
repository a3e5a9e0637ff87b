//! Numbers for Prometheus, in its text (0.0.4) and in that of `OpenMetrics`.
//!
//! What means the same as in HAProxy's own exporter has its name, labels and unit ([`table`]), so that dashboards made for
//! it work; what HAProxy has not begins with `drain_proxy_` ([`own`]). What is unknown, or not in use, has no sample,
//! where HAProxy writes `NaN`.

mod own;
mod page;
mod scope;
mod table;

pub use own::Own;
pub use page::{Form, page};
pub use scope::Scope;
