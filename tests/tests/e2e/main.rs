//! End-to-end tests against real programs, one file per subject. `tests/run e2e` runs them.

mod baseline;
mod demo;
mod farm;
