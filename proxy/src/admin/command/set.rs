//! Commands that concern the process, its frontends, and whoever gives them.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Desk, Session};
use crate::config::AdminLevel;
use crate::worker::{Frontend, Generation};

/// The longest silence that may be asked for: a day, so that a forgotten connection ends at last.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

pub(super) fn prompt(_: &Desk, session: &mut Session, _: &[&str]) -> String {
    session.interactive = !session.interactive;
    String::new()
}

pub(super) fn quit(_: &Desk, session: &mut Session, _: &[&str]) -> String {
    session.ended = true;
    String::new()
}

pub(super) fn become_operator(_: &Desk, session: &mut Session, _: &[&str]) -> String {
    session.level = AdminLevel::Operator;
    String::new()
}

pub(super) fn become_user(_: &Desk, session: &mut Session, _: &[&str]) -> String {
    session.level = AdminLevel::User;
    String::new()
}

pub(super) fn timeout(_: &Desk, session: &mut Session, words: &[&str]) -> String {
    match words {
        ["cli"] => "Expects an integer value.\n".to_owned(),
        ["cli", delay, ..] => {
            let Some(delay) = seconds(delay).filter(|delay| !delay.is_zero()) else {
                return "Invalid timeout value.\n".to_owned();
            };
            session.timeout = delay.min(LONGEST_TIMEOUT);
            String::new()
        }
        _ => "'set timeout' only supports 'cli'.\n".to_owned(),
    }
}

/// A time as HAProxy writes it; without a unit, seconds.
fn seconds(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    Some(match &text[digits..] {
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    })
}

pub(super) fn clear(desk: &Desk, _: &mut Session, _: &[&str]) -> String {
    desk.statistics.clear(false);
    String::new()
}

pub(super) fn clear_all(desk: &Desk, _: &mut Session, _: &[&str]) -> String {
    desk.statistics.clear(true);
    String::new()
}

pub(super) fn disable_frontend(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    pause(desk, words, true)
}

pub(super) fn enable_frontend(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    pause(desk, words, false)
}

pub(super) fn shutdown_frontend(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with_frontend(desk, words, |_| {
        "Frontends end with the configuration: remove it there and send SIGHUP, or use 'disable frontend'.\n"
            .to_owned()
    })
}

fn pause(desk: &Desk, words: &[&str], paused: bool) -> String {
    with_frontend(desk, words, |frontend| {
        if !frontend.room().pause(paused) {
            let state = if paused { "disabled" } else { "enabled" };
            return format!("All sockets are already {state}.\n");
        }
        let has = if paused { "Paused" } else { "Resumed" };
        tracing::warn!("{has} frontend {}.", frontend.settings.name);
        String::new()
    })
}

pub(super) fn maxconn_frontend(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    with_frontend(desk, words, |frontend| match words.get(1).map(|word| word.parse::<NonZeroUsize>()) {
        None | Some(Err(_)) => "Integer value expected.\n".to_owned(),
        Some(Ok(most)) => {
            frontend.room().resize(most.get());
            String::new()
        }
    })
}

pub(super) fn maxconn_global(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    let generation = desk.statistics.generation();
    let most = generation.configured_limit();
    match words.first().map(|word| word.parse::<usize>()) {
        None | Some(Err(_)) => "Expects an integer value.\n".to_owned(),
        Some(Ok(asked)) if asked > most => "Value out of range.\n".to_owned(),
        Some(Ok(asked)) => {
            generation.room().resize(if asked == 0 { most } else { asked });
            String::new()
        }
    }
}

fn with_frontend(desk: &Desk, words: &[&str], then: impl FnOnce(&Frontend) -> String) -> String {
    let Some(name) = words.first() else { return "A frontend name is expected.\n".to_owned() };
    let generation = desk.statistics.generation();
    match find(&generation, name) {
        Some(frontend) => then(frontend),
        None => "No such frontend.\n".to_owned(),
    }
}

fn find<'g>(generation: &'g Generation, name: &str) -> Option<&'g Frontend> {
    generation.frontends().iter().find(|frontend| *frontend.settings.name == *name)
}
