//! Three servers behind a balancer, as most tests want them.

use std::time::Duration;

use drain_tests::{Place, load::Running, place::holds};

/// A hundred requests take a second; a loaded machine may need much longer.
const LOAD_WITHIN: Duration = Duration::from_secs(30);

/// Waits until the users have made so many more requests.
#[track_caller]
pub(crate) fn let_run(place: &Place, load: &Running, requests: usize) {
    let wanted = load.requests() + requests;
    place.wait_for(&format!("{requests} more requests"), LOAD_WITHIN, || {
        let saw = load.requests();
        holds(saw >= wanted, || format!("{saw} of {wanted}"))
    });
}
