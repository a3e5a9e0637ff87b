//! The names that a rule may ask of: those of the configuration that it stands in.

use drain_config::Table;

/// The backends of a configuration, each with the names of its servers, in the order of the file.
#[derive(Clone, Default, Debug)]
pub(crate) struct Names<'n>(Vec<(&'n str, Vec<&'n str>)>);

impl<'n> Names<'n> {
    /// Those of a whole configuration.
    pub(crate) fn of(root: &Table<'n>) -> Self {
        Self(root.names_of_lists_in("backend", "server", "name"))
    }

    #[cfg(test)]
    pub(super) const fn new(backends: Vec<(&'n str, Vec<&'n str>)>) -> Self {
        Self(backends)
    }

    /// The place of a backend among them.
    pub(crate) fn position(&self, backend: &str) -> Option<usize> {
        self.0.iter().position(|(name, _)| *name == backend)
    }

    /// The names of all backends.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &'n str> {
        self.0.iter().map(|(name, _)| *name)
    }

    fn has_server(&self, backend: &str, server: &str) -> bool {
        self.0.iter().any(|(name, servers)| *name == backend && servers.contains(&server))
    }
}

/// Where a rule stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'n> {
    /// Who is there.
    pub(crate) names: &'n Names<'n>,
    /// The proxy that the rule belongs to.
    pub(crate) own: &'n str,
}

impl Scope<'_> {
    /// Says whom `keyword` names that is not there; without a backend it is the rule's own.
    pub(super) fn check(
        &self,
        backend: Option<&str>,
        server: Option<&str>,
        keyword: &str,
    ) -> Result<(), String> {
        if let Some(backend) = backend
            && self.names.position(backend).is_none()
        {
            return Err(format!("unable to find backend '{backend}' referenced in arg 1 of '{keyword}'"));
        }
        let backend = backend.unwrap_or(self.own);
        match server {
            Some(server) if !self.names.has_server(backend, server) => Err(format!(
                "unable to find server '{server}' in proxy '{backend}', referenced in arg 1 of '{keyword}'"
            )),
            _ => Ok(()),
        }
    }
}
