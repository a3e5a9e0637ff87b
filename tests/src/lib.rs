//! Real programs for end-to-end tests: web servers, balancers, our own two programs, and users who load them.
//!
//! A test opens a [`Place`], starts fixtures in it and lets users load them:
//!
//! ```text
//! let place = Place::new("a_claim");
//! let shop = Apache::new(&place, "s1").start();
//! let balancer = Haproxy::new(&place, "lb").server(Server::new("s1", shop.address())).start();
//! let load = Load::on(balancer.address()).start();
//! …
//! load.finish().assert_nobody_hurt();
//! ```
//!
//! A fixture that goes away fails the test if its program died or logged an error that no one expected.

pub mod agent;
pub mod apache;
pub mod child;
pub mod client;
pub mod clock;
pub mod flood;
pub mod haproxy;
pub mod load;
pub mod netns;
pub mod nginx;
pub mod orders;
pub mod place;
pub mod port;
pub mod proxy;
pub mod readme;
pub mod sample;
pub mod scripted;
pub mod syslog;
pub mod systemd_box;
pub mod tally;
pub mod twin;
pub mod usage;

pub use agent::Agent;
pub use apache::Apache;
pub use haproxy::{Haproxy, Server};
pub use load::Load;
pub use netns::Netns;
pub use nginx::Nginx;
pub use place::{PATIENCE, Place};
pub use proxy::Proxy;
pub use syslog::Syslog;
pub use systemd_box::SystemdBox;
