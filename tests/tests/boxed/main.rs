//! Tests in a real systemd, booted in namespaces of its own. `tests/run box` runs them.

mod command;
mod documents;
mod guard;
mod host;
mod installation;
mod journal;
mod kinds;
mod machine;
mod packages;
mod proxy;
mod restart;
mod rights;
mod rpm;
mod sandbox;
mod setup;
mod socket;
mod soft_guard;
mod units;
mod upgrades;
mod users;
mod verbs;
