//! The connections that a request may go out on, and whose they are after it.

use super::Attempts;
use crate::{
    backend::{
        Server,
        idle::{Claim, Connection, Shared},
    },
    config::Reuse,
};

impl Attempts<'_> {
    /// The idle connections that will do.
    pub(super) fn claim(&self, server: &Server) -> Claim {
        let bound = self.client.is_bound_to(server);
        let first = !self.client.served;
        let shared = match self.core.backend.settings().reuse {
            _ if !self.reuse || !self.core.shares_idle(server) => Shared::None,
            Reuse::Safe if first => Shared::None,
            Reuse::Aggressive if first => Shared::Proven,
            _ => Shared::Any,
        };
        // What is authenticated serves whatever its user asks: there is no other way to ask it.
        Claim { own: self.client.number().filter(|_| self.reuse || bound), shared }
    }

    /// Says whom a connection belongs to after this request.
    pub(super) fn assign(&mut self, connection: &mut Connection, authenticates: bool) {
        let server = connection.open.server();
        let authenticates = authenticates || self.asked.authenticates;
        if authenticates || connection.owner.is_some() || !self.core.shares_idle(server) {
            self.client.own(connection, authenticates);
        }
    }
}
