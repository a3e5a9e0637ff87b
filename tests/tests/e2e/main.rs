//! End-to-end tests against real programs, one file per subject. `tests/run e2e` runs them.

mod agent_check;
mod baseline;
mod cookies;
mod crash;
mod crew;
mod crowd;
mod dead_server;
mod demo;
mod differential;
mod failed_restart;
mod farm;
mod flood;
mod framing;
mod limits;
mod logs;
mod passive;
mod reload;
mod replay;
mod resume;
mod reuse;
mod rolling;
mod selection;
mod two_drains;
mod upgrade;
mod upstream;
mod vanishing_balancer;
