//! Questions to whoever sits at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::verdict::Fault;

/// Asks, where there is somebody to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Questions {
    /// Somebody sits there, and wants to be asked.
    attended: bool,
}

impl Questions {
    /// With `yes` nobody wants to be asked.
    pub(super) fn new(yes: bool) -> Self {
        Self { attended: !yes && io::stdin().is_terminal() && io::stderr().is_terminal() }
    }

    /// Whether they agree; where nobody is there, nobody does.
    pub(super) fn agree(self, question: &str) -> Result<bool, Fault> {
        if !self.attended {
            return Ok(false);
        }
        Ok(matches!(ask(&format!("{question} [y/N] "))?.as_str(), "y" | "Y" | "yes"))
    }

    /// Which of several; nothing where nobody is there, or none is chosen.
    pub(super) fn choose(self, among: &[String]) -> Result<Option<usize>, Fault> {
        if !self.attended {
            return Ok(None);
        }
        let list: String =
            among.iter().enumerate().map(|(number, one)| format!("  {}  {one}\n", number + 1)).collect();
        let answer = ask(&format!("{list}which one? "))?;
        Ok(answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).filter(|i| *i < among.len()))
    }
}

fn ask(question: &str) -> Result<String, Fault> {
    let failed = |error: io::Error| Fault::Failed(format!("can't ask: {error}"));
    write!(io::stderr(), "{question}").map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim().to_owned())
}
