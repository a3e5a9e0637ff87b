//! A guard that is gentle: `drainctl guard --mode soft`.

use drain_tests::Place;

use crate::guard::stage::{Crowd, PATIENT, Stage, in_background};

#[test]
fn a_gentle_guard_drains_softly_first_and_then_hard_and_hurts_nobody() {
    let place = Place::new("guard_soft");
    let Some(stage) = Stage::unguarded(
        &place,
        &format!("soft = {{ quiet = \"15s\", limit = \"10m\" }}\n{PATIENT}\nmin_remaining = 0"),
    ) else {
        return;
    };
    stage.machine.sh("drainctl guard apache2 --mode soft --limit 20m");
    stage.machine.wait_for_property("apache2-drain.service", "ActiveState", "active");
    let mut crowd = Crowd::before(&stage);
    let before = stage.invocation();
    let mut restart = in_background(&stage.machine, "systemctl restart apache2");
    crowd.wait_for("NOLB");
    assert!(restart.wait().expect("systemctl ends").success());
    assert_ne!(stage.invocation(), before);
    stage.wait_for_word("drained: nobody uses the server");
    stage.wait_for_phase("up");
    crowd.wait_for("UP");
    crowd.assert_nobody_hurt(&place);
}
