//! Everything that runs during a play: three shops, their agents if they have any, and the proxy.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use drain_tests::port;
use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use tokio::{
    process::Command,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    config::{self, Patience, Seat},
    ledger::{SHOPS, ShopId},
    lifeline::{Life, Lifeline},
    process::{Process, last_lines, own_program},
    programs::Programs,
    shop::Premises,
    status::Status,
};

/// How long everything may take to be up.
const RISE_LIMIT: Duration = Duration::from_secs(20);
/// How often that is looked at.
const RISE_POLL: Duration = Duration::from_millis(50);
/// How long one look at a page may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Who takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cast {
    /// Each shop has an agent of this patience.
    WithAgents(Patience),
    /// The proxy checks the shops themselves, and nobody announces anything.
    WithoutAgents,
}

/// The running stage. Everything on it ends when it is struck, dropped, or the demo dies in any way.
#[derive(Debug)]
pub(crate) struct Stage {
    agents: Vec<Process>,
    proxy: Process,
    seats: [Seat; SHOPS],
    proxy_port: u16,
    lifeline: Lifeline,
    programs: Programs,
    dir: Directory,
}

impl Stage {
    /// Starts everything and waits until shoppers can come.
    pub(crate) async fn raise(programs: &Programs, cast: Cast) -> Result<Self> {
        let dir = Directory::create()?;
        let (agents, patience) = match cast {
            Cast::WithAgents(patience) => (true, patience),
            Cast::WithoutAgents => (false, config::BRISK),
        };
        let proxy_port = port::free().port();
        let seat = |shop| {
            let agent_port = agents.then(|| port::free().port());
            Seat { shop, port: port::free().port(), agent_port }
        };
        let seats = ShopId::all().map(seat);
        let config = dir.write("proxy.toml", &config::proxy(&seats, proxy_port, &dir.path, patience))?;
        let lifeline = Lifeline::open(&dir.path)?;
        for seat in &seats {
            reopen(&premises(seat, &dir.path, &lifeline)).await?;
        }
        let mut processes = Vec::new();
        for seat in &seats {
            let Some(agent_port) = seat.agent_port else { continue };
            let command = reopen_command(&premises(seat, &dir.path, &lifeline))?;
            let name = seat.shop.name();
            let text = config::agent(seat, agent_port, &command, &dir.path, patience);
            let config = dir.write(&format!("{name}.toml"), &text)?;
            let args = ["--config".into(), config.into()];
            processes.push(Process::start(&format!("agent-{name}"), &programs.agent, &args, &dir.path)?);
        }
        let proxy = Process::start("proxy", &programs.proxy, &["-f".into(), config.into()], &dir.path)?;
        let programs = programs.clone();
        let mut stage = Self { agents: processes, proxy, seats, proxy_port, lifeline, programs, dir };
        if let Err(error) = stage.rise().await {
            stage.dir.keep();
            stage.strike().await;
            return Err(error);
        }
        Ok(stage)
    }

    /// Where shoppers go.
    pub(crate) fn url(&self) -> String {
        url(self.proxy_port)
    }

    /// The shops' own addresses.
    pub(crate) fn shop_urls(&self) -> impl Iterator<Item = (ShopId, String)> {
        self.seats.iter().map(|seat| (seat.shop, url(seat.port)))
    }

    /// `drainctl`, ready to talk to the agent of `shop`.
    pub(crate) fn drainctl(&self, shop: ShopId) -> (PathBuf, [OsString; 2]) {
        let socket = self.dir.path.join(format!("{}.sock", shop.name()));
        (self.programs.ctl.clone(), ["--socket".into(), socket.into()])
    }

    /// The number of the process of `shop`'s agent.
    pub(crate) fn agent_pid(&self, shop: ShopId) -> Option<i32> {
        Some(self.agents.get(shop.index())?.pid()?.as_raw_nonzero().get())
    }

    /// What is known of the processes of `shop`.
    pub(crate) fn life(&self, shop: ShopId) -> Life {
        self.lifeline.life(shop)
    }

    /// Sends SIGUSR1 to the agent of `shop`.
    pub(crate) fn ask_for_restart(&self, shop: ShopId) -> Result<()> {
        self.agents.get(shop.index()).context("there are no agents in this play")?.signal(Signal::USR1)
    }

    /// Ends `shop` and starts it again, with no word to anybody.
    pub(crate) async fn restart_without_a_word(&self, shop: ShopId) -> Result<()> {
        reopen(&premises(&self.seats[shop.index()], &self.dir.path, &self.lifeline)).await
    }

    /// The text of the shops' order files.
    pub(crate) fn order_files(&self) -> Result<Vec<String>> {
        let read = |seat: &Seat| {
            let path = premises(seat, &self.dir.path, &self.lifeline).order_file();
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        self.seats.iter().map(read).collect()
    }

    /// An error if an agent or the proxy has ended, with the end of its log.
    pub(crate) fn nobody_has_left(&mut self) -> Result<()> {
        for process in self.agents.iter_mut().chain([&mut self.proxy]) {
            if let Some(status) = process.ended() {
                bail!("{} has ended ({status}). The end of its log:\n{}", process.name, process.last_words());
            }
        }
        Ok(())
    }

    /// What each process has said last, for somebody who looks for a mistake.
    pub(crate) fn last_words(&self) -> String {
        let mut text = String::new();
        for process in self.agents.iter().chain([&self.proxy]) {
            let _ = write!(text, "  {}:\n{}", process.name, process.last_words());
        }
        for seat in &self.seats {
            let log = premises(seat, &self.dir.path, &self.lifeline).log_file();
            let _ = write!(text, "  {}:\n{}", seat.shop.name(), last_lines(&log));
        }
        text
    }

    /// Leaves the directory with all logs where it is, and says where.
    pub(crate) fn keep_logs(&mut self) -> &Path {
        self.dir.keep()
    }

    /// Ends everything.
    pub(crate) async fn strike(self) {
        let ends: JoinSet<()> = self.agents.into_iter().chain([self.proxy]).map(Process::end).collect();
        ends.join_all().await;
        self.lifeline.cut().await;
    }

    /// Waits until shoppers can come.
    async fn rise(&mut self) -> Result<()> {
        let client = Client::builder().no_proxy().timeout(LOOK_LIMIT).build().context("building a client")?;
        let deadline = Instant::now() + RISE_LIMIT;
        while let Some(missing) = self.missing(&client).await {
            self.nobody_has_left()?;
            ensure!(
                Instant::now() < deadline,
                "{missing}, even after {RISE_LIMIT:?}. The ends of the logs:\n{}",
                self.last_words(),
            );
            sleep(RISE_POLL).await;
        }
        Ok(())
    }

    /// The first thing without which shoppers can't come.
    async fn missing(&self, client: &Client) -> Option<String> {
        for (shop, url) in self.shop_urls() {
            let url = format!("{url}/health");
            if let Some(seen) = answer_but_200(client, &url).await {
                return Some(format!("{} should answer 200 at {url}: {seen}", shop.name()));
            }
        }
        // Not by a look at its health endpoint: whoever looks there again and again is a balancer to an agent.
        for seat in self.seats.iter().filter(|seat| seat.agent_port.is_some()) {
            let status = Status::ask(self.drainctl(seat.shop)).await;
            if status.as_ref().is_none_or(|status| status.phase != "up" || status.acknowledged.of == 0) {
                return Some(format!(
                    "the agent of {} should be up with a balancer: {status:?}",
                    seat.shop.name()
                ));
            }
        }
        let url = format!("{}/", self.url());
        answer_but_200(client, &url).await.map(|seen| format!("the proxy should answer 200 at {url}: {seen}"))
    }
}

/// What `url` answers, unless it is 200.
async fn answer_but_200(client: &Client, url: &str) -> Option<String> {
    match client.get(url).send().await {
        Ok(answer) if answer.status() == StatusCode::OK => None,
        Ok(answer) => Some(format!("status {}", answer.status().as_u16())),
        Err(error) => Some(error.to_string()),
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn premises(seat: &Seat, dir: &Path, lifeline: &Lifeline) -> Premises {
    let lifeline = lifeline.path().to_owned();
    Premises { number: seat.shop.number(), port: seat.port, dir: dir.to_owned(), lifeline }
}

/// The command that ends a shop and starts it again, in words.
fn reopen_command(premises: &Premises) -> Result<Vec<String>> {
    let mut words = vec![own_program()?.into_os_string(), "reopen".into()];
    words.extend(premises.arguments());
    let text =
        |word: OsString| word.into_string().map_err(|w| anyhow::anyhow!("{} is not UTF-8", w.display()));
    words.into_iter().map(text).collect()
}

async fn reopen(premises: &Premises) -> Result<()> {
    let output = Command::new(own_program()?)
        .arg("reopen")
        .args(premises.arguments())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("running `demo reopen`")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`demo reopen`: {}: {}", output.status, text.trim());
    Ok(())
}

/// The demo's own temporary directory; it goes when it is dropped, unless somebody wants to read the logs.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    kept: bool,
}

impl Directory {
    fn create() -> Result<Self> {
        let name = format!("drain-demo-{}-{:06x}", std::process::id(), fastrand::u32(..1 << 24));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn keep(&mut self) -> &Path {
        self.kept = true;
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
