//! The fields that rules write, change or take away.

use super::{
    Rule, Rules,
    action::Action,
    edit::{Edit, Names},
};

/// The fields that rules write, change or take away, whatever their conditions say.
#[derive(Debug)]
pub struct Touched(Vec<Names>);

impl Touched {
    /// In requests.
    pub fn in_requests(rules: [&Rules; 2]) -> Self {
        let ids = rules.iter().filter_map(|rules| rules.unique_id.as_ref()?.header().cloned()).map(Names::Is);
        Self(ids.chain(rules.iter().flat_map(|rules| names(&rules.request))).collect())
    }

    /// In responses.
    pub fn in_responses(rules: [&Rules; 2]) -> Self {
        let of_both = |rules: &&Rules| [names(&rules.response), names(&rules.after_response)];
        Self(rules.iter().flat_map(of_both).flatten().collect())
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|names| names.are(name))
    }
}

fn names(rules: &[Rule]) -> Vec<Names> {
    let touched = rules.iter().filter_map(|rule| match &rule.action {
        Action::Edit(edit) => names_of(edit),
        _ => None,
    });
    touched.collect()
}

fn names_of(edit: &Edit) -> Option<Names> {
    match edit {
        Edit::Set { name, .. } | Edit::Add { name, .. } | Edit::Replace { name, .. } => {
            Some(Names::Is(name.clone()))
        }
        Edit::Delete(names) => Some(names.clone()),
        Edit::Target(..) | Edit::ReplaceTarget { .. } | Edit::Method(_) | Edit::Status(..) => None,
    }
}
