//! Tests in a real systemd, booted in namespaces of its own. `tests/run box` runs them.

mod guard;
mod host;
mod journal;
mod machine;
mod packages;
mod restart;
mod socket;
mod soft_guard;
mod units;
mod users;
