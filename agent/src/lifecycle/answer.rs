//! What a health check is answered: a function of what was asked and of what is observed.

use super::{Phase, Stage, Verdict};
use crate::config::Answers;

/// The phase that is shown; `None` where nothing can be said yet.
///
/// | asked                 | server    | phase      | answer |
/// |-----------------------|-----------|------------|--------|
/// | up, waiting           | unknown   | none yet   | none   |
/// | up, waiting           | ready     | up         | 200    |
/// | up, waiting           | not ready | down       | 500    |
/// | soft                  | unknown   | soft       | 404    |
/// | soft                  | ready     | soft       | 404    |
/// | soft                  | not ready | down       | 500    |
/// | hard                  | any       | hard       | 500    |
/// | restarting            | any       | restarting | 500    |
/// | warming               | any       | warming    | 500    |
/// | failed                | any       | failed     | 500    |
pub fn phase(asked: Stage, server: Verdict) -> Option<Phase> {
    match (asked, server) {
        (Stage::Up | Stage::Waiting, Verdict::Unknown) => None,
        (Stage::Up | Stage::Waiting, Verdict::Ready) => Some(Phase::Up),
        (Stage::Up | Stage::Waiting | Stage::Soft, Verdict::NotReady) => Some(Phase::Down),
        (Stage::Soft, Verdict::Unknown | Verdict::Ready) => Some(Phase::Soft),
        (Stage::Hard, _) => Some(Phase::Hard),
        (Stage::Restarting, _) => Some(Phase::Restarting),
        (Stage::Warming, _) => Some(Phase::Warming),
        (Stage::Failed, _) => Some(Phase::Failed),
    }
}

impl Phase {
    /// The status that says so.
    pub fn status(self, answers: Answers) -> u16 {
        match self {
            Self::Up => 200,
            Self::Soft => answers.soft,
            Self::Hard | Self::Restarting | Self::Warming | Self::Failed | Self::Down => answers.hard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: Answers = Answers { soft: 404, hard: 500 };

    #[track_caller]
    fn row(asked: &[Stage], server: &[Verdict], expected: Option<(Phase, u16)>) {
        for &stage in asked {
            for &verdict in server {
                let phase = phase(stage, verdict);
                let found = phase.map(|phase| (phase, phase.status(ANSWERS)));
                assert_eq!(found, expected, "asked {stage:?}, server {verdict:?}");
            }
        }
    }

    const ANY: [Verdict; 3] = [Verdict::Unknown, Verdict::Ready, Verdict::NotReady];
    const IN_USE: [Stage; 2] = [Stage::Up, Stage::Waiting];

    #[test]
    fn nothing_is_said_about_a_server_before_the_first_verdict() {
        row(&IN_USE, &[Verdict::Unknown], None);
    }

    #[test]
    fn a_ready_server_is_up() {
        row(&IN_USE, &[Verdict::Ready], Some((Phase::Up, 200)));
    }

    #[test]
    fn a_dead_server_is_not_hidden() {
        row(&IN_USE, &[Verdict::NotReady], Some((Phase::Down, 500)));
    }

    #[test]
    fn soft_is_404_while_the_server_lives_or_is_not_known_to_be_dead() {
        row(&[Stage::Soft], &[Verdict::Unknown, Verdict::Ready], Some((Phase::Soft, 404)));
    }

    #[test]
    fn a_dead_server_sends_its_pinned_users_away() {
        row(&[Stage::Soft], &[Verdict::NotReady], Some((Phase::Down, 500)));
    }

    #[test]
    fn from_hard_to_the_end_of_warming_and_in_failed_it_is_500_whatever_the_server_says() {
        row(&[Stage::Hard], &ANY, Some((Phase::Hard, 500)));
        row(&[Stage::Restarting], &ANY, Some((Phase::Restarting, 500)));
        row(&[Stage::Warming], &ANY, Some((Phase::Warming, 500)));
        row(&[Stage::Failed], &ANY, Some((Phase::Failed, 500)));
    }

    #[test]
    fn other_numbers_take_their_place_where_configured() {
        let answers = Answers { soft: 410, hard: 503 };
        assert_eq!(Phase::Soft.status(answers), 410);
        assert_eq!(Phase::Down.status(answers), 503);
        assert_eq!(Phase::Up.status(answers), 200);
    }
}
