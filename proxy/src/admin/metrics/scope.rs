//! Which numbers are wanted: what stands behind the page's `?`, in the words of HAProxy's own exporter.

use crate::admin::stats::{Field, Kind, Row};

/// Which numbers are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of the page that is wanted or not")]
pub struct Scope {
    /// Of the process, with all that is not HAProxy's.
    pub(super) process: bool,
    frontends: bool,
    backends: bool,
    servers: bool,
    /// But for servers in maintenance.
    hides_maintenance: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { process: true, frontends: true, backends: true, servers: true, hides_maintenance: false }
    }
}

impl Scope {
    /// `scope=frontend&scope=server&no-maint`
    ///
    /// # Errors
    /// There is no such scope.
    pub fn asked(query: &str) -> Result<Self, String> {
        let none = Self {
            process: false,
            frontends: false,
            backends: false,
            servers: false,
            hides_maintenance: false,
        };
        let mut scope = Self::default();
        let mut is_narrowed = false;
        for word in query.split('&') {
            match word.split_once('=').unwrap_or((word, "")) {
                ("no-maint", _) => scope.hides_maintenance = true,
                ("scope", name) => {
                    if !std::mem::replace(&mut is_narrowed, true) {
                        scope = Self { hides_maintenance: scope.hides_maintenance, ..none };
                    }
                    match name {
                        "global" => scope.process = true,
                        "frontend" => scope.frontends = true,
                        "backend" => scope.backends = true,
                        "server" => scope.servers = true,
                        "*" => scope = Self { hides_maintenance: scope.hides_maintenance, ..Self::default() },
                        // There are none of these here.
                        "" | "listener" | "sticktable" => {}
                        other => {
                            return Err(format!(
                                "there is no scope {other:?}: expected global, frontend, backend, server or *\n"
                            ));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(scope)
    }

    /// Whether those of this row are.
    pub(super) fn wants(self, row: &Row) -> bool {
        match row.kind {
            Kind::Frontend => self.frontends,
            Kind::Backend => self.backends,
            Kind::Server => {
                self.servers && !(self.hides_maintenance && row.text(Field::Status).starts_with("MAINT"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_numbers_are_wanted() {
        let all = Scope::default();
        let servers = Scope { process: false, frontends: false, backends: false, ..all };
        for (query, expected) in [
            ("", all),
            ("x=y", all),
            ("scope=*", all),
            ("scope=server", servers),
            ("scope=global&scope=server", Scope { process: true, ..servers }),
            ("no-maint&scope=server", Scope { hides_maintenance: true, ..servers }),
            ("scope=", Scope { servers: false, ..servers }),
        ] {
            assert_eq!(Scope::asked(query), Ok(expected), "{query}");
        }
        assert!(Scope::asked("scope=nope").is_err());
    }
}
