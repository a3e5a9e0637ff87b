//! The commands, but for `run`.

use std::{
    io::{self, Write},
    path::Path,
    time::Duration,
};

use clap::CommandFactory;
use drain_agent::{
    cli,
    clock::{self, Moment},
    control::api::{self, Drain, Options, Outcome, Reply, Status, Then},
    lifecycle::Phase,
};
use drain_documents::Page;
use tokio::time::{self, Instant};

use crate::{
    args::{Args, Command, Doctor, History, OneOfHistory, Restart, Up},
    client::Client,
    curve::Paper,
    doctor,
    follow::Follow,
    guard, history,
    interrupt::Interrupts,
    progress,
    progress::Progress,
    run, setup, show,
    verdict::{Done, Fault, to_json},
};

/// Where there is nothing to say with a request.
pub(crate) const NOTHING: Option<&Options> = None;

/// How often the running times on a terminal are rewritten.
const TICK: Duration = Duration::from_secs(1);

/// How long a drain may be unknown to the agent, neither under way nor ended, before it is given up.
const UNKNOWN: Duration = Duration::from_secs(10);

/// One agent, and how its answers are to be shown.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// What people type to reach the same agent.
    pub(crate) spelled: String,
    pub(crate) json: bool,
}

pub(crate) async fn execute(args: Args) -> Result<Done, Fault> {
    let Args { place, json, command } = args;
    let session = || {
        let client = Client::new(place.way()?);
        Ok::<_, Fault>(Session { client, spelled: place.spelled(), json })
    };
    match command {
        Command::Status => session()?.status().await,
        Command::Balancers => session()?.balancers().await,
        Command::Watch => session()?.watch().await,
        Command::Doctor(arguments) => session()?.doctor(arguments).await,
        Command::History(arguments) => session()?.history(arguments).await,
        Command::Soft(drain) => {
            let (options, no_wait) = drain.options();
            session()?.drain("/v1/soft", &options, no_wait).await
        }
        Command::Hard(drain) => {
            let (options, no_wait) = drain.options();
            session()?.drain("/v1/hard", &options, no_wait).await
        }
        Command::Restart(Restart { why, hard, no_wait }) => {
            let path = if hard { "/v1/hard" } else { "/v1/restart" };
            session()?.drain(path, &why.options(Some(Then::Restart)), no_wait).await
        }
        Command::Up(Up { force, no_wait }) => session()?.up(api::Up { force }, no_wait).await,
        Command::Run(arguments) => run::run(&session()?, arguments).await,
        Command::Generate { directory } => generate(&directory),
        Command::Setup(arguments) => setup::setup(&place, arguments).await,
        Command::Guard(arguments) => guard::guard(&place, arguments).await,
        Command::Unguard(arguments) => guard::unguard(arguments).await,
        Command::Guarded(hook) => guard::hook(&place, &hook).await,
    }
}

/// What the man pages say beside the command line.
const PAGE: Page<'_> = Page {
    section: "1",
    files: &[("/run/drain-agent/NAME.sock", "the control socket of the agent NAME")],
    see_also: &["drain-agent(8)"],
};

fn generate(directory: &Path) -> Result<Done, Fault> {
    drain_documents::write(Args::command(), &PAGE, directory)
        .and_then(|()| cli::write_documents(directory))
        .map_err(|error| Fault::Failed(format!("can't write to {}: {error}", directory.display())))?;
    Ok(Done::said(format!("written below {}", directory.display())))
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// A drain that holds has come as far as it goes.
    Reached(u64),
    /// A drain has ended.
    Ended(u64),
    /// The server is up and nothing else is asked; since when that is wanted.
    Up(Instant),
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It has come.
    Come(Box<Status>),
    /// Ctrl-C.
    Interrupted,
}

impl Session {
    async fn status(&self) -> Result<Done, Fault> {
        let status = self.client.status().await?;
        Ok(self.show(if self.json { to_json(&status) } else { show::status(&status, clock::unix_now()) }))
    }

    async fn balancers(&self) -> Result<Done, Fault> {
        Ok(self.show(if self.json {
            to_json(&self.client.balancers().await?)
        } else {
            show::balancers(&self.client.status().await?, clock::unix_now())
        }))
    }

    fn show(&self, text: String) -> Done {
        if self.json {
            let _closed = writeln!(io::stdout(), "{text}");
            return Done::shown();
        }
        Done::said(text)
    }

    async fn doctor(&self, arguments: Doctor) -> Result<Done, Fault> {
        let mut diagnosis = self.client.doctor().await?;
        doctor::read(&mut diagnosis, &arguments.haproxy_cfg)?;
        let text = if self.json { to_json(&diagnosis) } else { doctor::text(&diagnosis) };
        let _closed = writeln!(io::stdout(), "{text}");
        match doctor::failures(&diagnosis) {
            0 => Ok(Done::shown()),
            _ => Err(Fault::Shown),
        }
    }

    async fn history(&self, arguments: History) -> Result<Done, Fault> {
        let Some(OneOfHistory::Show { drain }) = arguments.command else {
            let records = self.client.history(arguments.last).await?;
            let text =
                if self.json { to_json(&records) } else { history::table(&records, clock::unix_now()) };
            return Ok(self.show(text));
        };
        let drain = match drain {
            Some(drain) => drain,
            None => match self.client.history(1).await?.pop() {
                Some(last) => last.drain,
                None => return Err(Fault::Failed(history::NONE.to_owned())),
            },
        };
        let record = self.client.history_of(drain).await?;
        Ok(self.show(if self.json { to_json(&record) } else { history::whole(&record, Paper::of_stdout()) }))
    }

    async fn watch(&self) -> Result<Done, Fault> {
        let mut follow = Follow::start(&self.client).await?;
        loop {
            let status = follow.next().await?;
            let line = if self.json { to_json(&status) } else { progress::line(&status) };
            if writeln!(io::stdout(), "{line}").is_err() {
                return Ok(Done::shown());
            }
        }
    }

    async fn drain(&self, path: &str, options: &Options, no_wait: bool) -> Result<Done, Fault> {
        let mut interrupts = install()?;
        let reply = self.client.ask(path, Some(options)).await?;
        let (drain, text) = understood(&reply);
        let (Some(id), false) = (drain, no_wait) else {
            return Ok(Done { text: Some(text.to_owned()), reply: Some(reply), drain: None });
        };
        if !self.json {
            let _closed = writeln!(io::stderr(), "{text}");
        }
        let comes_back = matches!(options.then, Some(Then::Restart | Then::Run(_)));
        let goal = if comes_back { Goal::Ended(id) } else { Goal::Reached(id) };
        match self.wait(goal, &mut interrupts).await? {
            End::Come(status) => {
                let drain = status.ended(id).cloned();
                let text = match &drain {
                    Some(drain) => format!("{}: {}", status.server, drain.text),
                    None if status.asked.as_ref().is_some_and(|asked| asked.stopped) => {
                        format!("{} is stopped; `{} restart` starts it", status.server, self.spelled)
                    }
                    None => {
                        let found = status.still_in_use().map_or_else(
                            || format!(": {}", show::traffic(&status.traffic)),
                            |why| format!(", but {why}"),
                        );
                        format!("{} is in {}{found}", status.server, status.phase)
                    }
                };
                Ok(Done { text: Some(text), reply: Some(reply), drain })
            }
            End::Interrupted => Err(Fault::Interrupted(format!(
                "interrupted; drain {id} goes on: `{0} up` cancels it, `{0} watch` shows it",
                self.spelled
            ))),
        }
    }

    async fn up(&self, up: api::Up, no_wait: bool) -> Result<Done, Fault> {
        let mut interrupts = install()?;
        let reply = self.client.ask("/v1/up", Some(&up)).await?;
        let (_, text) = understood(&reply);
        if no_wait {
            return Ok(Done { text: Some(text.to_owned()), reply: Some(reply), drain: None });
        }
        match self.wait(Goal::Up(Instant::now()), &mut interrupts).await? {
            End::Come(status) => {
                let text = Some(format!("{} is up", status.server));
                Ok(Done { text, reply: Some(reply), drain: None })
            }
            End::Interrupted => {
                Err(Fault::Interrupted("interrupted; the server goes up when it is ready".to_owned()))
            }
        }
    }

    /// Waits for `goal` and shows progress.
    pub(crate) async fn wait(&self, goal: Goal, interrupts: &mut Interrupts) -> Result<End, Fault> {
        let mut progress = Progress::new(self.json);
        let end = self.wait_with(goal, interrupts, &mut progress).await;
        progress.end();
        end
    }

    async fn wait_with(
        &self,
        goal: Goal,
        interrupts: &mut Interrupts,
        progress: &mut Progress,
    ) -> Result<End, Fault> {
        let mut follow = Follow::start(&self.client).await?;
        let mut tick = time::interval(TICK);
        let mut known = Instant::now();
        let mut last = None;
        loop {
            let status = tokio::select! {
                status = follow.next() => status?,
                _ = tick.tick() => {
                    progress.tick(Moment::now());
                    if let (Goal::Reached(id) | Goal::Ended(id), Some(status)) = (goal, &last) {
                        known = if knows(status, id) { Instant::now() } else { known };
                        if known.elapsed() > UNKNOWN {
                            return Err(Fault::Failed(format!(
                                "the agent does not know drain {id} any more; `{} status` shows what is",
                                self.spelled
                            )));
                        }
                    }
                    // What has not changed may be final by now.
                    let Some(status) = last.take_if(|status| look(goal, status).is_some()) else { continue };
                    status
                }
                () = interrupts.next() => return Ok(End::Interrupted),
            };
            if let Some(end) = look(goal, &status) {
                return end.map(|()| End::Come(Box::new(status)));
            }
            progress.news(status.clone(), Moment::now());
            last = Some(status);
        }
    }
}

/// What a reply says: the drain and the text.
pub(crate) fn understood(reply: &Reply) -> (Option<u64>, &str) {
    match reply {
        Reply::Accepted { drain, text } | Reply::Already { drain, text } => (*drain, text),
        Reply::Refused { text, .. } => (None, text),
    }
}

pub(crate) fn install() -> Result<Interrupts, Fault> {
    Interrupts::install().map_err(|error| Fault::Failed(format!("can't take signals over: {error}")))
}

/// Whether the agent has the drain `id` under way or remembers it; one that is to follow a restart counts.
fn knows(status: &Status, id: u64) -> bool {
    let under_way = status.asked.as_ref().is_some_and(|asked| asked.drain == id || asked.again);
    under_way || status.ended(id).is_some()
}

/// Whether `goal` has come with `status`; nothing while it is to be waited for. A server that is down may have been started
/// a moment ago: its probes are given the time that they need to see it.
///
/// | goal | reached | not reached, and its limit has passed | the drain ended as done | ended otherwise | the server failed or is down, nothing asked |
/// |---|---|---|---|---|---|
/// | reached | come | fault: it holds, and is still in use | come: it was joined, and did more | fault | wait |
/// | ended | wait | wait | come | fault | wait |
/// | up | wait | wait | wait | wait | fault |
fn look(goal: Goal, status: &Status) -> Option<Result<(), Fault>> {
    match goal {
        Goal::Up(since) => match (&status.asked, status.phase) {
            (None, Phase::Up) => Some(Ok(())),
            (None, Phase::Down) if since.elapsed().as_secs_f64() < status.readiness.settles_seconds => None,
            (None, Phase::Failed | Phase::Down) => {
                Some(Err(Fault::Failed(format!("{} is {}: {}", status.server, status.phase, status.reason))))
            }
            _ => None,
        },
        Goal::Reached(id) => match (status.ended(id), &status.asked) {
            (Some(drain), _) => Some(good_end(drain)),
            (None, Some(asked)) if asked.drain == id && asked.reached => Some(Ok(())),
            (None, Some(asked)) if asked.drain == id => asked.limit_passed.as_ref().map(|why| {
                let (server, phase) = (&status.server, status.phase);
                Err(Fault::Failed(format!("{server} holds in {phase}, but is still in use: {why}")))
            }),
            _ => None,
        },
        Goal::Ended(id) => status.ended(id).map(good_end),
    }
}

fn good_end(drain: &Drain) -> Result<(), Fault> {
    if drain.outcome == Outcome::Done { Ok(()) } else { Err(Fault::Drain(Box::new(drain.clone()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::soft;

    fn ended(outcome: Outcome) -> Status {
        let mut status = soft();
        status.asked = None;
        let last = Drain { id: 7, outcome, ..status.drains[0].clone() };
        status.drains.push(last);
        status
    }

    fn reached() -> Status {
        let mut status = soft();
        status.asked.as_mut().unwrap().reached = true;
        status
    }

    #[test]
    fn each_row_of_the_table_holds() {
        assert!(look(Goal::Reached(7), &soft()).is_none());
        assert!(matches!(look(Goal::Reached(7), &reached()), Some(Ok(()))));
        assert!(look(Goal::Reached(8), &reached()).is_none(), "another drain");
        let mut in_use = soft();
        in_use.asked.as_mut().unwrap().limit_passed = Some("the limit of 30s has passed: 1 in flight".into());
        assert!(matches!(look(Goal::Reached(7), &in_use), Some(Err(Fault::Failed(_)))));
        assert!(look(Goal::Reached(8), &in_use).is_none(), "another drain");
        assert!(look(Goal::Ended(7), &in_use).is_none());
        assert!(matches!(look(Goal::Reached(7), &ended(Outcome::Done)), Some(Ok(()))), "joined a restart");
        assert!(matches!(look(Goal::Reached(7), &ended(Outcome::Cancelled)), Some(Err(Fault::Drain(_)))));
        assert!(look(Goal::Ended(7), &reached()).is_none());
        assert!(matches!(look(Goal::Ended(7), &ended(Outcome::Done)), Some(Ok(()))));
        for outcome in [Outcome::Cancelled, Outcome::Withdrawn, Outcome::Failed] {
            assert!(
                matches!(look(Goal::Ended(7), &ended(outcome)), Some(Err(Fault::Drain(_)))),
                "{outcome:?}"
            );
        }
        let now = Goal::Up(Instant::now());
        assert!(look(now, &ended(Outcome::Done)).is_none(), "still soft");
        let up = Status { phase: Phase::Up, ..ended(Outcome::Done) };
        assert!(matches!(look(now, &up), Some(Ok(()))));
        let mut down = Status { phase: Phase::Down, ..up.clone() };
        assert!(look(now, &down).is_none(), "probes need their time");
        down.readiness.settles_seconds = 0.0;
        assert!(matches!(look(now, &down), Some(Err(Fault::Failed(_)))), "they have had it");
        let failed = Status { phase: Phase::Failed, ..up };
        assert!(matches!(look(now, &failed), Some(Err(Fault::Failed(_)))), "that does not mend itself");
    }

    #[test]
    fn a_drain_that_is_to_follow_is_known() {
        let mut status = soft();
        assert!(knows(&status, 7) && knows(&status, 6) && !knows(&status, 8));
        status.asked.as_mut().unwrap().again = true;
        assert!(knows(&status, 8));
    }
}
