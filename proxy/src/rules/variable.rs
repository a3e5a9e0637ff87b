//! What rules keep for those behind them: HAProxy's variables (manual, 2.8).

use std::{borrow::Cow, sync::Arc};

use super::{action::Kept, sample::Value};

/// How long a variable lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Scope {
    /// As long as the client's connection.
    Session,
    /// From the request to the end of its response.
    Transaction,
    /// While rules look at the request.
    Request,
    /// While rules look at the response.
    Response,
}

/// A variable: how long it lives, and its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    scope: Scope,
    name: Arc<str>,
}

/// Bytes that a value may have, HAProxy's buffer: a few rules that double what there is must not fill the memory. A
/// longer one is not kept.
const MOST_BYTES: usize = 16_384;

impl Name {
    /// `txn.path`
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let scopes = [
            ("sess", Scope::Session),
            ("txn", Scope::Transaction),
            ("req", Scope::Request),
            ("res", Scope::Response),
        ];
        let wrong = || {
            format!(
                "'{text}' is no variable that is known here: expected sess, txn, req or res, a dot and a name"
            )
        };
        let (scope, name) = text.split_once('.').ok_or_else(wrong)?;
        let (_, scope) = scopes.into_iter().find(|(word, _)| *word == scope).ok_or_else(wrong)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(wrong());
        }
        Ok(Self { scope, name: name.into() })
    }

    /// Whether rules on responses may set it: what lives as long as the connection is the requests'.
    pub(super) fn is_of_session(&self) -> bool {
        self.scope == Scope::Session
    }

    pub(super) fn is_of_request(&self) -> bool {
        self.scope == Scope::Request
    }

    pub(super) fn is_of_response(&self) -> bool {
        self.scope == Scope::Response
    }
}

/// The variables that are set.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Variables(Vec<(Name, Value<'static>)>);

impl Variables {
    pub(super) fn value(&self, name: &Name) -> Option<Value<'_>> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| match value {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            Value::Number(number) => Value::Number(*number),
            Value::Address(address) => Value::Address(*address),
            Value::Flag(flag) => Value::Flag(*flag),
        })
    }

    /// What was there before goes away; `None`: nothing comes in its place.
    pub(super) fn set(&mut self, name: &Name, value: Option<Value<'static>>) {
        self.0.retain(|(of, _)| of != name);
        let fits = |value: &Value<'_>| !matches!(value, Value::Text(text) if text.len() > MOST_BYTES);
        self.0.extend(value.filter(fits).map(|value| (name.clone(), value)));
    }

    /// Does what a rule says: what has no value changes nothing.
    pub(super) fn keep(&mut self, name: &Name, kept: &Kept, value: Option<Value<'static>>) {
        if value.is_some() || *kept == Kept::Nothing {
            self.set(name, value);
        }
    }

    /// Those that outlive the request's rules.
    #[must_use]
    pub fn of_response(&self) -> Self {
        self.outliving(Scope::Transaction)
    }

    /// Those that outlive the request and its response.
    #[must_use]
    pub fn of_session(&self) -> Self {
        self.outliving(Scope::Session)
    }

    fn outliving(&self, last: Scope) -> Self {
        Self(self.0.iter().filter(|(name, _)| name.scope <= last).cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_lives_as_long_as_its_scope() {
        let mut variables = Variables::default();
        for (number, name) in ["sess.a", "txn.a", "req.a", "res.a"].into_iter().enumerate() {
            variables.set(&Name::read(name).unwrap(), i64::try_from(number).ok().map(Value::Number));
        }
        let value = |variables: &Variables, name| match variables.value(&Name::read(name).unwrap()) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        };
        let later = variables.of_response();
        assert_eq!(
            (value(&later, "txn.a"), value(&later, "req.a"), value(&later, "sess.a")),
            (Some(1), None, Some(0))
        );
        assert_eq!(value(&variables.of_session(), "txn.a"), None);
        variables.set(&Name::read("txn.a").unwrap(), None);
        assert_eq!(value(&variables, "txn.a"), None);
        for text in ["", "a", "proc.a", "txn.", "txn.a b"] {
            assert!(Name::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_that_grows_without_end_is_not_kept() {
        let (mut variables, name) = (Variables::default(), Name::read("req.a").unwrap());
        variables.set(&name, Some(Value::Text(vec![b'a'; MOST_BYTES + 1].into())));
        assert!(variables.is_empty());
    }
}
