//! What may happen to a machine, one thing after the other.

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Happens {
    Pass(u64),
    Acknowledged(bool),
    Enough(bool),
    Unconfirmed(bool),
    Quiet(bool),
    Unknown(bool),
    Empty(bool),
    Abandoned(bool),
    Probe(bool),
    Ask(Request, bool),
    RestartEnds(bool),
    WarmedUp,
    OthersOut(bool),
    CallerGone(bool),
    GivenUp,
    Reloaded(Choice),
    AgentDies(Vec<Death>),
}

/// One end of the agent, and what the next one finds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    /// The server that was to be replaced.
    Alone(Replaced),
    /// The host restarted, and the server with it.
    WithHost,
}

/// With everything that may follow.
pub(super) fn rules(choice: Choice) -> Rules {
    let rules = super::super::rules();
    let Choice { up_on_failure, hard_aborts, proceeds } = choice;
    let at_limit = if hard_aborts { AtHardLimit::Abort } else { AtHardLimit::Restart };
    let at_acknowledge = if proceeds { AtAcknowledgeLimit::Proceed } else { AtAcknowledgeLimit::Abort };
    Rules {
        acknowledge: Acknowledge { at_limit: at_acknowledge, ..rules.acknowledge },
        hard: Hard { at_limit, ..rules.hard },
        retries: 1,
        warm_up: Some(seconds(65)),
        on_failure: if up_on_failure { OnFailure::Up } else { OnFailure::Stay },
        ..rules
    }
}

pub(super) fn choice() -> impl Strategy<Value = Choice> {
    any::<[bool; 3]>().prop_map(|[up_on_failure, hard_aborts, proceeds]| Choice {
        up_on_failure,
        hard_aborts,
        proceeds,
    })
}

fn death() -> impl Strategy<Value = Death> {
    prop_oneof![
        2 => Just(Death::Alone(Replaced::Not)),
        2 => Just(Death::Alone(Replaced::UnderWay)),
        2 => Just(Death::Alone(Replaced::Perhaps)),
        1 => Just(Death::WithHost),
    ]
}

pub(super) fn happens() -> impl Strategy<Value = Happens> {
    let then = prop_oneof![
        3 => Just(None),
        3 => Just(Some(Then::Restart)),
        2 => Just(Some(Then::Hold)),
        1 => Just(Some(Then::Stop)),
        1 => Just(Some(Then::Run("upgrade".into()))),
    ];
    let lasts = prop::option::weighted(0.2, 1_u64..2000);
    let command = prop::option::weighted(0.2, Just("apt-get".to_owned()));
    let options = (then, any::<bool>(), lasts, command).prop_map(|(then, force, for_seconds, command)| {
        Options { then, force, for_seconds, command, reason: None }
    });
    let request = prop_oneof![
        options.clone().prop_map(Request::Soft),
        options.prop_map(Request::Hard),
        Just(Request::Up),
        Just(Request::UpByForce),
        Just(Request::Return(None)),
    ];
    prop_oneof![
        5 => (1_u64..400).prop_map(Happens::Pass),
        3 => any::<bool>().prop_map(Happens::Acknowledged),
        1 => prop::bool::weighted(0.8).prop_map(Happens::Enough),
        1 => any::<bool>().prop_map(Happens::Unconfirmed),
        3 => any::<bool>().prop_map(Happens::Quiet),
        1 => prop::bool::weighted(0.3).prop_map(Happens::Unknown),
        1 => any::<bool>().prop_map(Happens::Empty),
        1 => any::<bool>().prop_map(Happens::Abandoned),
        5 => prop::bool::weighted(0.7).prop_map(Happens::Probe),
        3 => (request, any::<bool>()).prop_map(|(request, by_signal)| Happens::Ask(request, by_signal)),
        3 => prop::bool::weighted(0.8).prop_map(Happens::RestartEnds),
        2 => Just(Happens::WarmedUp),
        1 => prop::bool::weighted(0.2).prop_map(Happens::OthersOut),
        1 => prop::bool::weighted(0.3).prop_map(Happens::CallerGone),
        1 => Just(Happens::GivenUp),
        1 => choice().prop_map(Happens::Reloaded),
        2 => prop::collection::vec(death(), 1..=2).prop_map(Happens::AgentDies),
    ]
}
