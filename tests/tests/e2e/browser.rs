//! A real browser, driven by `live_page.py`.

use std::{
    fmt::Display,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use drain_tests::Place;
use serde_json::Value;

/// The page is told once a second; a loaded machine may need much longer.
const WITHIN: Duration = Duration::from_mins(2);

/// A browser with one page. It ends with this.
pub(crate) struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/live_page.py");
        // Debian's own, which has Debian's packages.
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start python3");
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let commands = child.stdin.take();
        Self { child, commands, answers }
    }

    /// Has it do something; gives the answer.
    pub(crate) fn tell(&mut self, command: impl Display) -> Result<Value, String> {
        let commands = self.commands.as_mut().expect("it runs");
        writeln!(commands, "{command}").and_then(|()| commands.flush()).map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["value"].clone()),
        }
    }

    /// Clicks on what matches until an expression is true there: what moves just then is missed.
    pub(crate) fn click_until(&mut self, place: &Place, selector: &str, expression: &str) {
        place.wait_for(expression, WITHIN, || match self.tell(format!("eval Boolean({expression})"))? {
            Value::Bool(true) => Ok(()),
            _ => Err(self.tell(format!("click {selector}"))?.to_string()),
        });
    }

    /// Waits until an expression is true there.
    pub(crate) fn wait_until(&mut self, place: &Place, expression: &str) {
        place.wait_for(expression, WITHIN, || match self.tell(format!("eval Boolean({expression})"))? {
            Value::Bool(true) => Ok(()),
            _ => Err(self.tell("eval document.body.innerText")?.to_string()),
        });
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of its input ends the script, which ends the browser.
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
