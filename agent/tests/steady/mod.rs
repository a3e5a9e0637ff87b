//! A configuration that stays as it is.

use std::sync::Arc;

use drain_agent::config::Config;
use tokio::sync::watch;

/// It is never another one.
pub(crate) fn config() -> watch::Receiver<Arc<Config>> {
    let text = "listen = '127.0.0.1:8404'\nserver.ports = [80]\nrestart.command = ['true']";
    watch::channel(Arc::new(Config::parse("steady", text, Some("shop")).unwrap())).1
}
