//! The log: lines on stderr, where systemd's journal and people's terminals read them.
//!
//! Where stderr is the journal's, lines go to journald itself, with their fields. Where that can't be reached they go to
//! stderr all the same: the journal notes the time and the sender itself, and reads the priority from the begin of each
//! line, `<6>` and the like (sd-daemon(3)).

mod journal;

use std::{
    env, fmt,
    fs::File,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Writer},
        layer,
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use self::journal::{Journal, SOCKET};

/// The variable that says what is logged, in the manner of `RUST_LOG`: `debug`, or `info,drain_agent::owner=trace`.
pub const VARIABLE: &str = "DRAIN_AGENT_LOG";
/// Where systemd says which device and inode the journal's end of stderr has.
const JOURNAL: &str = "JOURNAL_STREAM";

/// Starts the log. To be called once, first of all.
pub fn start() {
    let wanted = env::var(VARIABLE).ok();
    let targets = wanted.as_ref().map(|text| text.parse::<Targets>());
    let misread = matches!(targets, Some(Err(_)));
    let filter = targets.and_then(Result::ok).unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    let journal = is_journal();
    let for_people = layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
    let journald = journal.then(|| Journal::at(Path::new(SOCKET)).ok()).flatten();
    let prefixed = Prefixed(Format::default().without_time().with_level(false).with_target(false));
    let for_the_journal = layer().with_writer(io::stderr).with_ansi(false).event_format(prefixed);
    tracing_subscriber::registry()
        .with((!journal).then_some(for_people))
        .with((journal && journald.is_none()).then_some(for_the_journal))
        .with(journald)
        .with(filter)
        .init();
    if misread {
        tracing::warn!(
            "{VARIABLE} is not understood: expected something like \"debug\" or \"info,drain_agent::owner=trace\""
        );
    }
}

/// Whether stderr is what systemd has connected with the journal. The variable alone does not say so: it is inherited
/// by programs whose stderr goes elsewhere.
fn is_journal() -> bool {
    let Ok(stream) = env::var(JOURNAL) else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    File::from(stderr).metadata().is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// Lines that begin with their priority.
struct Prefixed(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Prefixed
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(line, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, line, event)
    }
}

/// The number of syslog(3) for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
