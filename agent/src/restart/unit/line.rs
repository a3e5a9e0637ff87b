//! How a unit is, asked of a systemd whose bus may be silent or restarted meanwhile.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Unit, UnitError};
use crate::systemd::{bus::Systemd, standing::Standing};

/// How often a unit whose job's end nobody tells is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long systemd may take to tell how a unit is while the owner of the life cycle waits for it: a third of the
/// watchdog's limit (`WatchdogSec=30s`), after which systemd would end the agent, and the next one would wait again.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// What systemd tells, if it does in time.
pub(super) async fn told<T>(ask: impl Future<Output = Result<T, UnitError>>) -> Result<T, UnitError> {
    timeout(TOLD_WITHIN, ask).await.unwrap_or(Err(UnitError::Silent))
}

/// Who can be asked again.
pub(super) trait Ask: Send {
    /// What is answered.
    type Answer: Send;
    /// Asks once.
    fn ask(&mut self) -> impl Future<Output = Result<Self::Answer, UnitError>> + Send;
}

/// How a unit is, over a connection that is kept while it answers: it is dead once the bus was restarted.
pub(super) struct Line<'a> {
    unit: &'a Unit,
    pub(super) systemd: Option<Systemd>,
}

impl<'a> Line<'a> {
    pub(super) const fn of(unit: &'a Unit) -> Self {
        Self { unit, systemd: None }
    }
}

impl Ask for Line<'_> {
    type Answer = Standing;

    async fn ask(&mut self) -> Result<Standing, UnitError> {
        let systemd = match self.systemd.take() {
            Some(systemd) => systemd,
            None => Systemd::connect().await?,
        };
        let standing = self.unit.standing(&systemd).await?;
        self.systemd = Some(systemd);
        Ok(standing)
    }
}

/// Asks again while the bus fails, as in its own restart, for `limit`, and no less than for an answer in time.
pub(super) async fn insist<A: Ask>(limit: Duration, line: &mut A) -> Result<A::Answer, UnitError> {
    let mut failed = UnitError::Silent;
    let answered = async {
        loop {
            match line.ask().await {
                Err(error @ UnitError::Bus(_)) => failed = error,
                answer => return answer,
            }
            sleep(LOOK_EVERY).await;
        }
    };
    let answered = timeout(limit.max(TOLD_WITHIN), answered).await.ok();
    answered.unwrap_or(Err(failed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::bus::BusError;

    #[tokio::test(start_paused = true)]
    async fn a_silent_systemd_is_given_up_long_before_the_watchdog_ends_the_agent() {
        let error = timeout(TOLD_WITHIN * 2, told(std::future::pending::<Result<(), _>>()))
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains("does not answer within 10s"), "{error}");
        assert_eq!(told(async { Ok(7) }).await.unwrap(), 7);
    }

    /// Fails so many times before it answers.
    struct Failing(u32, fn() -> Result<u32, UnitError>);

    impl Ask for Failing {
        type Answer = u32;

        async fn ask(&mut self) -> Result<u32, UnitError> {
            let Some(left) = self.0.checked_sub(1) else { return self.1() };
            self.0 = left;
            Err(BusError::Silent.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_is_restarted_is_asked_again_until_the_limit() {
        let back = insist(Duration::ZERO, &mut Failing(3, || Ok(7))).await;
        assert_eq!(back.unwrap(), 7);
        let mut dead = Failing(u32::MAX, || Ok(7));
        let error = timeout(Duration::from_secs(61), insist(Duration::from_mins(1), &mut dead))
            .await
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, UnitError::Bus(_)), "{error}");
        let gone = || Err(UnitError::NotLoaded { unit: "shop.service".into(), loaded: "masked".into() });
        let error = insist(Duration::ZERO, &mut Failing(0, gone)).await.unwrap_err();
        assert!(error.to_string().contains("masked"), "{error}");
    }
}
