//! `id`, and the numbers that HAProxy gives to proxies without one.

use super::{
    super::numbers::Count,
    section::Directive,
    settings::{Kind, Reading},
    toml::Piece,
    translate::Proxy,
};

/// `id NUMBER` of a proxy.
pub(super) fn id(reading: &mut Reading<'_>, directive: &Directive) {
    let Some(text) = reading.only(directive, "a number") else { return };
    if let Ok(number @ 1..) = text.parse::<u32>() {
        reading.settings.id = Some((number, reading.piece(number.to_string(), directive)));
    } else {
        let text = format!("'id' expects a number above 0, but '{text}' follows.");
        reading.alert(&directive.place, text);
    }
}

/// What each proxy's table must say of its number. Those that are disabled have one, too, and are in no table: behind
/// them nothing would be numbered as in HAProxy.
pub(super) fn ids(proxies: &[Proxy<'_>]) -> Vec<Option<Piece>> {
    let taken: Vec<u32> = proxies.iter().filter_map(|proxy| Some(proxy.settings.id.as_ref()?.0)).collect();
    let mut count = Count::passing(taken);
    let mut is_shifted = false;
    let mut ids = Vec::with_capacity(proxies.len());
    for proxy in proxies {
        is_shifted |= proxy.settings.disabled || is_counted_otherwise(proxy, proxies);
        let own = proxy.settings.id.as_ref();
        let number = count.next(own.map(|(id, _)| *id));
        let given = || is_shifted.then(|| Piece::default(number.to_string()));
        ids.push(own.map(|(_, piece)| piece.clone()).or_else(given));
    }
    ids
}

/// Whether what it becomes here would not be counted as HAProxy counts it: two sections of one name are no `listen`, and
/// a `listen` that sends on to another backend is none here.
fn is_counted_otherwise(proxy: &Proxy<'_>, all: &[Proxy<'_>]) -> bool {
    if proxy.kind == Kind::Listen {
        return proxy.settings.default_backend.is_some() && !proxy.settings.servers.is_empty();
    }
    all.iter().any(|other| other.name == proxy.name && other.kind != proxy.kind)
}
