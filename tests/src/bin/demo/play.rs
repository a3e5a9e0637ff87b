//! A play: the stage is raised, shoppers come, all shops are restarted one after the other, and the shoppers'
//! books are compared with the shops'.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Result, anyhow, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    config::{BRISK, HUMAN},
    crowd::Crowd,
    ledger::ShopId,
    programs::Programs,
    stage::{Cast, Stage},
    status::Status,
    table::{Row, Scene, Screen},
    verdict::Outcome,
};

/// How often the table is renewed.
const TICK: Duration = Duration::from_millis(500);
/// Shopping before the first restart and after the last.
const PEACE: Duration = Duration::from_secs(4);
/// How long one announced restart may take: acknowledgement, the longest visit, both kinds of quiet, the shop's
/// start and its return.
const RESTART_LIMIT: Duration = Duration::from_secs(32);
/// How long a play may take from the first shopper on. With the start before it and the play without agents
/// after it this stays within the demo's two minutes.
const PLAY_LIMIT: Duration = Duration::from_secs(85);
/// How long it may take until a shop that is back has served somebody.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// The time between two restarts that nobody announces.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(3);

/// What is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Play {
    /// Restarts by SIGUSR1 to the agents.
    Announced,
    /// Restarts without a word, and no agents.
    Unannounced,
    /// Agents and shoppers, and restarts only by who watches; until Ctrl-C.
    Open,
}

/// How a play came to its end.
#[derive(Debug)]
pub(crate) enum End {
    /// As it should.
    Finished(Outcome),
    /// Somebody has pressed Ctrl-C.
    Interrupted,
}

impl Play {
    /// The heading of its column in the verdict.
    fn name(self) -> &'static str {
        match self {
            Self::Announced | Self::Open => "with agents",
            Self::Unannounced => "without agents",
        }
    }

    fn cast(self) -> Cast {
        match self {
            Self::Announced => Cast::WithAgents(BRISK),
            Self::Unannounced => Cast::WithoutAgents,
            Self::Open => Cast::WithAgents(HUMAN),
        }
    }

    /// Plays it from the first process to the last.
    pub(crate) async fn run(self, programs: &Programs, screen: &mut Screen) -> Result<End> {
        let mut stage = tokio::select! {
            stage = Stage::raise(programs, self.cast()) => stage?,
            end = interruption() => return end.map(|()| End::Interrupted),
        };
        let crowd = Crowd::gather(&stage.url());
        let mut show = Show { stage: &mut stage, crowd: &crowd, screen, began: Instant::now() };
        let played = tokio::select! {
            played = show.perform(self) => played.map(|()| true),
            () = sleep(PLAY_LIMIT), if self != Self::Open => Err(anyhow!("the play has taken longer than {PLAY_LIMIT:?}")),
            interrupted = interruption() => interrupted.map(|()| self == Self::Open),
        };
        screen.settle();
        let ledger = crowd.disperse().await;
        let restarts = ShopId::all().map(|shop| stage.life(shop).births.saturating_sub(1)).iter().sum();
        let result = played.and_then(|finished| Ok((finished, stage.order_files()?)));
        let end = result.map(|(finished, files)| {
            let verdict = ledger.settle(files.iter().map(String::as_str));
            let outcome = Outcome { name: self.name(), restarts, verdict };
            if finished { End::Finished(outcome) } else { End::Interrupted }
        });
        let harmed = match &end {
            Ok(End::Finished(outcome)) => self != Self::Unannounced && !outcome.verdict.nothing_lost(),
            Ok(End::Interrupted) => false,
            Err(_) => true,
        };
        if harmed {
            screen.say(&format!("All logs of this play are kept in {}.", stage.keep_logs().display()));
        }
        stage.strike().await;
        end
    }
}

/// A play while it runs.
struct Show<'a> {
    stage: &'a mut Stage,
    crowd: &'a Crowd,
    screen: &'a mut Screen,
    began: Instant,
}

impl Show<'_> {
    async fn perform(&mut self, play: Play) -> Result<()> {
        match play {
            Play::Announced => {
                self.watch_for(PEACE).await?;
                for shop in ShopId::all() {
                    self.restart_announced(shop).await?;
                }
                self.watch_for(PEACE).await
            }
            Play::Unannounced => {
                self.watch_for(BETWEEN_RESTARTS).await?;
                for shop in ShopId::all() {
                    self.screen.say(&format!("{}: ended and started again, without a word", shop.name()));
                    self.stage.restart_without_a_word(shop).await?;
                    self.watch_for(BETWEEN_RESTARTS).await?;
                }
                Ok(())
            }
            Play::Open => {
                let invitation = self.invitation();
                self.screen.say(&invitation);
                self.watch_until(|_| false).await
            }
        }
    }

    /// Asks the agent of `shop` for a restart, and waits until users are there again.
    async fn restart_announced(&mut self, shop: ShopId) -> Result<()> {
        let (asked, births) = (Instant::now(), self.stage.life(shop).births);
        self.stage.ask_for_restart(shop)?;
        self.screen.say(&format!("{}: SIGUSR1 to its agent", shop.name()));
        let is_back = move |scene: &Scene| {
            let row = &scene.rows[shop.index()];
            row.restarts >= births && row.state == "up"
        };
        if let Ok(watched) = timeout(RESTART_LIMIT, self.watch_until(is_back)).await {
            watched?;
        } else {
            bail!(
                "{} has not been restarted {RESTART_LIMIT:?} after SIGUSR1. The ends of the logs:\n{}",
                shop.name(),
                self.stage.last_words()
            );
        }
        let took = asked.elapsed();
        let before = self.crowd.ledger().at(shop).requests;
        let is_used = move |scene: &Scene| scene.rows[shop.index()].count.requests > before;
        if let Ok(watched) = timeout(RETURN_LIMIT, self.watch_until(is_used)).await {
            watched?;
        } else {
            bail!("{} is up again, but has served nobody in {RETURN_LIMIT:?}", shop.name());
        }
        self.screen.say(&format!(
            "{}: restarted and up after {:.1} s, first served again after {:.1} s",
            shop.name(),
            took.as_secs_f64(),
            asked.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    async fn watch_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.watch_until(move |_| Instant::now() >= end).await
    }

    /// Renews the table until `is_seen`.
    async fn watch_until(&mut self, is_seen: impl Fn(&Scene) -> bool) -> Result<()> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.stage.nobody_has_left()?;
            let scene = self.scene().await;
            let seen = is_seen(&scene);
            self.screen.show(scene);
            if seen {
                return Ok(());
            }
        }
    }

    async fn scene(&self) -> Scene {
        let [a, b, c] = ShopId::all();
        let rows = tokio::join!(self.row(a), self.row(b), self.row(c));
        let ledger = self.crowd.ledger();
        let (baskets_lost, orders) = ledger.so_far();
        Scene {
            elapsed: self.began.elapsed(),
            rows: rows.into(),
            total: ledger.total(),
            baskets_lost,
            orders,
        }
    }

    async fn row(&self, shop: ShopId) -> Row {
        let has_agent = self.stage.agent_pid(shop).is_some();
        let status = if has_agent { Status::ask(self.stage.drainctl(shop)).await } else { None };
        let life = self.stage.life(shop);
        let state = match &status {
            Some(status) => status.phase.clone(),
            None if has_agent => "unknown".to_owned(),
            None if life.pid.is_some() => "runs".to_owned(),
            None => "ended".to_owned(),
        };
        Row {
            shop,
            state,
            acknowledged: status.as_ref().map(|status| status.acknowledged),
            in_flight: status.as_ref().and_then(Status::in_flight),
            users: status.as_ref().and_then(Status::users),
            restarts: life.births.saturating_sub(1),
            count: self.crowd.ledger().at(shop),
        }
    }

    /// What a visitor can do.
    fn invitation(&self) -> String {
        let mut text = format!("\nThe shops, by way of the proxy:  {}/\n", self.stage.url());
        for (shop, url) in self.stage.shop_urls() {
            let _ = writeln!(text, "{} itself:                    {url}/", shop.name());
        }
        text.push_str("\nRestart a shop when nobody needs it (SIGUSR2 instead: at once, and baskets go):\n");
        for shop in ShopId::all() {
            let _ = writeln!(
                text,
                "  kill -USR1 {}    # {}",
                self.stage.agent_pid(shop).unwrap_or(0),
                shop.name()
            );
        }
        let (program, arguments) = self.stage.drainctl(ShopId::all()[0]);
        let ctl = [&[program.into_os_string()], &arguments[..]].concat().join(" ".as_ref());
        text.push_str("\nAsk an agent, here that of shop1:\n");
        for command in ["status", "balancers", "watch", "soft", "up", "restart"] {
            let _ = writeln!(text, "  {} {command}", ctl.display());
        }
        let _ = write!(
            text,
            "\nPut something into a basket first, and a soft drain of that shop waits until you have ordered\n\
             or have been away for {} s. Ctrl-C ends everything.\n",
            HUMAN.soft_quiet
        );
        text
    }
}

/// Comes back when somebody presses Ctrl-C or ends the demo.
async fn interruption() -> Result<()> {
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [interrupt, terminate, hangup] = &mut ends;
    let [Ok(interrupt), Ok(terminate), Ok(hangup)] = [interrupt, terminate, hangup] else {
        bail!("signals can't be received")
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
