//! `forward_for` and `original_to`: fields of requests that tell servers an address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use drain_config::{Table, Value};
use ipnet::IpNet;

use super::words::token;

/// A field that tells servers an address. It is added as a line of its own at the end, never appended to one that is
/// there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressField {
    /// Its name, as it is sent.
    pub header: Arc<str>,
    /// Addresses in these networks are not told.
    pub except: Vec<IpNet>,
    /// Whether a request that has such a field already gets none.
    pub if_none: bool,
}

impl AddressField {
    /// `forward_for` and `original_to` of a frontend or a backend.
    pub(super) fn read_both(table: &Table<'_>) -> [Option<Self>; 2] {
        [("forward_for", "X-Forwarded-For"), ("original_to", "X-Original-To")]
            .map(|(key, header)| table.take(key).and_then(|value| Self::read(&value, header)))
    }

    /// `true`, `false` or a table.
    fn read(value: &Value<'_>, name: &str) -> Option<Self> {
        let standard = Self { header: name.into(), except: Vec::new(), if_none: false };
        if !value.is_table() {
            return value.flag()?.then_some(standard);
        }
        value.section(|table| {
            let Self { header, except, if_none } = standard;
            Self {
                header: table.field("header", header, |value| token(value, "a header's name")).into_inner(),
                except: table.field("except", except, |value| value.each(Value::network)).into_inner(),
                if_none: table.flag("if_none", if_none).copied(),
            }
        })
    }

    /// What holds for a frontend's requests to a backend, as in HAProxy: either of them asks for it, and either's
    /// exceptions count; the name is the backend's; one that asks without a condition has its way.
    #[must_use]
    pub fn of_both(frontend: Option<&Self>, backend: Option<&Self>) -> Option<Self> {
        let (Some(front), Some(back)) = (frontend, backend) else { return frontend.or(backend).cloned() };
        Some(Self {
            header: back.header.clone(),
            except: [&front.except[..], &back.except].concat(),
            if_none: front.if_none && back.if_none,
        })
    }

    /// An address where it is to be told: not where its network is excepted, nor where somebody before has told it, so
    /// that the field is `present`, and `if_none` asks for that.
    pub fn told(&self, address: SocketAddr, present: bool) -> Option<IpAddr> {
        let address = address.ip().to_canonical();
        let stays = (self.if_none && present) || self.except.iter().any(|net| net.contains(&address));
        (!stays).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_side_asks_and_excepts() {
        let field = |header: &str, except: &str, if_none| AddressField {
            header: header.into(),
            except: vec![except.parse().unwrap()],
            if_none,
        };
        let (front, back) = (field("X-F", "10.0.0.0/8", true), field("X-B", "192.0.2.0/24", false));
        assert_eq!(AddressField::of_both(None, None), None);
        assert_eq!(AddressField::of_both(Some(&front), None), Some(front.clone()));
        assert_eq!(AddressField::of_both(None, Some(&back)), Some(back.clone()));
        let both = AddressField::of_both(Some(&front), Some(&back)).unwrap();
        assert_eq!((&*both.header, both.except.len(), both.if_none), ("X-B", 2, false));
        let both = AddressField::of_both(Some(&front), Some(&front)).unwrap();
        assert!(both.if_none);
    }

    #[test]
    fn excepted_networks_and_named_clients_are_not_named() {
        let client = "10.1.2.3:5".parse().unwrap();
        let told = |except: &[&str], if_none, present| {
            let except = except.iter().map(|net| net.parse().unwrap()).collect();
            AddressField { header: "X-F".into(), except, if_none }.told(client, present)
        };
        assert_eq!(told(&["10.0.0.0/8"], false, false), None);
        assert_eq!(told(&[], true, true), None);
        assert!(told(&[], true, false).is_some());
        assert!(told(&[], false, true).is_some());
    }
}
