//! The socket unit that holds an agent's health port, beside what the agent's configuration says.

use std::net::SocketAddr;

use super::{
    activation::holds,
    bus::{BusError, Systemd},
};

/// That systemd and the configuration do not mean the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{unit} holds {}, and `listen` is {}: whoever asks where only the one of them listens is refused while the other's \
     does not run", listed(.held), listed(.configured)
)]
pub struct Mismatch {
    unit: String,
    held: Vec<SocketAddr>,
    configured: Vec<SocketAddr>,
}

/// What makes both the same.
pub const CURE: &str = "have both name the same address: `drainctl setup` writes the drop-in of the socket unit \
                        (ListenStream=) with the configuration; without `listen` the agent takes what systemd holds";

/// How the socket unit of an agent's `service` differs from where the configuration has it listen; nothing where it does
/// not, or neither runs nor is enabled. Without `configured` addresses the agent takes whatever systemd has.
pub async fn mismatch(
    systemd: &Systemd,
    service: &str,
    configured: &[SocketAddr],
) -> Result<Option<Mismatch>, BusError> {
    let Some(unit) = of(service).filter(|_| !configured.is_empty()) else { return Ok(None) };
    let held = systemd.listens(&unit).await?;
    Ok(compare(unit, held.iter().filter_map(|address| address.parse().ok()).collect(), configured))
}

/// The socket unit of an agent's service; nothing where that is no instance of the agent's unit.
fn of(service: &str) -> Option<String> {
    let stem = service.strip_suffix(".service").filter(|stem| stem.starts_with("drain-agent@"))?;
    Some(format!("{stem}.socket"))
}

fn compare(unit: String, held: Vec<SocketAddr>, configured: &[SocketAddr]) -> Option<Mismatch> {
    let is_held = |one: &SocketAddr| held.iter().any(|held| holds(*held, *one));
    let is_configured = |held: &SocketAddr| configured.iter().any(|one| holds(*held, *one));
    let agree = held.iter().all(is_configured) && configured.iter().all(is_held);
    (!held.is_empty() && !agree).then(|| Mismatch { unit, configured: configured.to_vec(), held })
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_instance_of_the_agents_unit_has_a_socket_unit() {
        assert_eq!(of("drain-agent@apache2.service").as_deref(), Some("drain-agent@apache2.socket"));
        assert_eq!(of("apache2.service"), None);
    }

    #[test]
    fn a_socket_that_the_configuration_does_not_have_is_told_and_one_that_it_has_is_not() {
        let compare = |held: &[&str], configured: &[&str]| {
            let parsed =
                |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
            compare("drain-agent@a.socket".to_owned(), parsed(held), &parsed(configured))
        };
        assert_eq!(compare(&["0.0.0.0:8404"], &["0.0.0.0:8404"]), None);
        assert_eq!(compare(&["[::]:8404"], &["0.0.0.0:8404"]), None);
        assert_eq!(compare(&[], &["0.0.0.0:8405"]), None, "nothing is held");
        let other = compare(&["0.0.0.0:8404"], &["0.0.0.0:8405"]).unwrap().to_string();
        assert!(
            other.contains("drain-agent@a.socket holds 0.0.0.0:8404, and `listen` is 0.0.0.0:8405"),
            "{other}"
        );
        assert!(compare(&["0.0.0.0:8404"], &["0.0.0.0:8404", "127.0.0.1:9000"]).is_some(), "one is lacking");
    }
}
