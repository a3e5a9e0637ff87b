//! What trailers do not carry: whatever the proxy itself says in heads, or takes from them. A careless receiver merges
//! trailers into the head, and would have from whoever sends them what it trusts the proxy to say.

use std::rc::Rc;

use crate::{
    config::{AddressField, Backend, Frontend},
    http1::Withholds,
    rules::Touched,
};

/// The fields of one frontend's messages, towards one backend.
#[derive(Default, Debug)]
pub(super) struct Withheld {
    pub(super) of_requests: Option<Rc<dyn Withholds>>,
    pub(super) of_responses: Option<Rc<dyn Withholds>>,
}

/// The fields that rules change, and those that tell servers addresses.
#[derive(Debug)]
struct Fields {
    touched: Touched,
    told: Vec<Box<[u8]>>,
}

impl Withheld {
    /// By what is said of both, and with these fields.
    pub(super) fn by(frontend: &Frontend, backend: &Backend, told: &[Option<AddressField>]) -> Self {
        let rules = [&*frontend.rules, &*backend.rules];
        let told = told.iter().flatten().map(|field| field.header.as_bytes().into()).collect();
        Self {
            of_requests: Fields { touched: Touched::in_requests(rules), told }.unless_none(),
            of_responses: Fields { touched: Touched::in_responses(rules), told: Vec::new() }.unless_none(),
        }
    }
}

impl Fields {
    fn unless_none(self) -> Option<Rc<dyn Withholds>> {
        let is_none = self.touched.is_empty() && self.told.is_empty();
        (!is_none).then(|| Rc::new(self) as Rc<dyn Withholds>)
    }
}

impl Withholds for Fields {
    fn withholds(&self, name: &[u8]) -> bool {
        self.touched.contains(name) || self.told.iter().any(|told| name.eq_ignore_ascii_case(told))
    }
}
