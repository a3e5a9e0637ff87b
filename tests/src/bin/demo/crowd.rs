//! The shoppers who are in the street at one time: whoever leaves is followed by another.

use std::{
    cell::{Ref, RefCell},
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    ledger::Ledger,
    shopper::{Shopper, Street},
};

/// Shoppers at one time. They make some 40 requests a second, which two cores and an unoptimised build carry.
const SHOPPERS: usize = 30;
/// How long a place in the street stays empty, in milliseconds.
const GAP_MS: std::ops::Range<u64> = 100..600;
/// The longest that shoppers may take to go home: that of the slowest page, and more.
const HOME_LIMIT: Duration = Duration::from_secs(10);

/// Shoppers who come and go.
#[derive(Debug)]
pub(crate) struct Crowd {
    places: JoinSet<()>,
    closing: watch::Sender<bool>,
    ledger: Rc<RefCell<Ledger>>,
}

impl Crowd {
    /// Lets shoppers in; `url` is the proxy's. Must be called inside a `LocalSet`.
    pub(crate) fn gather(url: &str) -> Self {
        let (closing, seen) = watch::channel(false);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let street = Street { url: url.to_owned(), ledger: Rc::clone(&ledger), closing: seen };
        let mut places = JoinSet::new();
        for place in 0..SHOPPERS {
            places.spawn_local(keep_filled(street.clone(), place % 2 == 0));
        }
        Self { places, closing, ledger }
    }

    /// What they have counted so far.
    pub(crate) fn ledger(&self) -> Ref<'_, Ledger> {
        self.ledger.borrow()
    }

    /// Lets everybody finish the page that is being loaded, and gives their reckoning.
    pub(crate) async fn disperse(mut self) -> Ledger {
        self.closing.send_replace(true);
        let _ = timeout(HOME_LIMIT, async { while self.places.join_next().await.is_some() {} }).await;
        self.places.shutdown().await;
        self.ledger.borrow().clone()
    }
}

/// One shopper after the other.
async fn keep_filled(mut street: Street, keeps_alive: bool) {
    loop {
        tokio::select! {
            () = sleep(Duration::from_millis(fastrand::u64(GAP_MS))) => {}
            // An error means that the street itself is gone.
            _ = street.closing.wait_for(|closing| *closing) => return,
        }
        let shopper = match Shopper::new(street.clone(), keeps_alive) {
            Ok(shopper) => shopper,
            Err(error) => return street.ledger.borrow_mut().failure(None, format!("{error:#}")),
        };
        shopper.visit().await;
    }
}
