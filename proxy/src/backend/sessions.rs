//! Sessions that must not outlast a change of health: `on_marked_down`, `on_marked_up`.

use std::sync::atomic::Ordering;

use tokio::sync::watch;

use super::{Backend, Operation, Server};

/// HAProxy's letter for sessions that are ended because their server has gone down.
pub const MARKED_DOWN: u8 = b'D';

impl Backend {
    /// Ends the sessions that must not outlast the change of this server's operation. Those of a server that says that
    /// it drains go on.
    pub(super) fn end_sessions(&self, server: &Server, before: Operation) {
        let (settings, now) = (server.settings(), server.operation());
        let went = now == Operation::Down && before != Operation::Down;
        if went && settings.passive.shutdown_sessions && !server.is_draining() {
            server.shut_down_sessions(MARKED_DOWN);
        }
        let came = before == Operation::Down && now.takes_new_users();
        if came && settings.passive.shutdown_backup_sessions && !settings.backup && server.weight() > 0 {
            for backup in self.servers.iter().filter(|server| server.settings().backup) {
                backup.shut_down_sessions(b'U');
            }
        }
    }

    /// Changes when the sessions of this server are to end, if they ever are.
    pub fn shutdowns(&self, server: &Server) -> Option<watch::Receiver<(u64, u8)>> {
        let settings = server.settings();
        let ends_backups =
            || self.servers.iter().any(|server| server.settings().passive.shutdown_backup_sessions);
        let is_commanded = self.is_commanded.load(Ordering::Relaxed);
        (is_commanded || settings.passive.shutdown_sessions || (settings.backup && ends_backups()))
            .then(|| server.shutdowns())
    }
}
