//! What rules learn of the proxy around them.

use super::*;
use crate::{
    backend::Wish,
    rules::{Farm, Members},
};

#[test]
fn who_waits_for_a_certain_server_waits_in_its_backend() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy =
            Proxy::with(&[&server], |_, backend| backend.servers[0].maxconn = 1.try_into().ok()).await;
        let _slot = fixture::granted(proxy.backend.admit(Wish::ANY));
        let _waiting = [Wish::Pinned(0), Wish::ANY].map(|wish| fixture::queued(proxy.backend.admit(wish)));
        let Members { in_flight, queued, .. } = Farm::backend(&*proxy.core, "shop").unwrap();
        assert_eq!((in_flight, queued), (1, 2));
    });
}
