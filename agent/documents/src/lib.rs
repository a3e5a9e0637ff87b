//! Man pages and shell completions, made from the definition of a command line.
//!
//! The packages are built with what a hidden command writes (`tests/packages`): `drain-proxy generate DIRECTORY`, and
//! `drainctl generate DIRECTORY` for the agent, too. Nothing generated is kept in the repository: a page that is made from
//! the very code that it is installed with can't differ from it.
//!
//! ```text
//! DIRECTORY/man/drainctl.1, drainctl-soft.1 …   a page for the program and one for each of its commands
//! DIRECTORY/bash/drainctl   DIRECTORY/zsh/_drainctl   DIRECTORY/fish/drainctl.fish
//! ```

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

/// What a page says that the command line does not.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The manual's section: "1" for commands, "8" for what the administrator starts.
    pub section: &'a str,
    /// The files that the program reads and writes, each with what it is.
    pub files: &'a [(&'a str, &'a str)],
    /// Other pages, as `drainctl(1)`.
    pub see_also: &'a [&'a str],
}

/// Writes the pages and completions of `command` below `directory`.
pub fn write(command: Command, page: &Page<'_>, directory: &Path) -> io::Result<()> {
    let name = command.get_name().to_owned();
    for (shell, below) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let below = directory.join(below);
        fs::create_dir_all(&below)?;
        let written = generate_to(shell, &mut command.clone(), &name, &below)?;
        // bash-completion looks for a file that is called as the program is.
        if shell == Shell::Bash {
            fs::rename(written, below.join(&name))?;
        }
    }
    let below = directory.join("man");
    fs::create_dir_all(&below)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, page, &below)
}

/// The page of `command`, and those of its commands.
fn pages(command: &Command, page: &Page<'_>, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages(command, page, directory)?;
    }
    let man = Man::new(command.clone()).section(page.section).manual("drain-agent and drain-proxy");
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut text = Vec::new();
    man.render(&mut text)?;
    if !page.files.is_empty() {
        writeln!(text, ".SH FILES")?;
        for (file, what) in page.files {
            writeln!(text, ".TP\n\\fI{}\\fR\n{}", plain(file), plain(what))?;
        }
    }
    if !page.see_also.is_empty() {
        let others: Vec<String> = page.see_also.iter().filter_map(|other| reference(other)).collect();
        writeln!(text, ".SH SEE ALSO\n{}", others.join(",\n"))?;
    }
    fs::write(directory.join(format!("{name}.{}", page.section)), text)
}

/// `drainctl(1)` with its name in bold.
fn reference(other: &str) -> Option<String> {
    let (name, section) = other.split_once('(')?;
    Some(format!("\\fB{}\\fR({section}", plain(name)))
}

/// Text that roff shows as it stands.
fn plain(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('-', "\\-");
    // A dot or a quote at a line's beginning would be a request.
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Says what it is.
    #[derive(Parser)]
    #[command(name = "shop", version = "1")]
    enum Shop {
        /// Open it
        Open {
            /// When
            #[arg(long)]
            at: Option<String>,
        },
        /// For nobody
        #[command(hide = true)]
        Secret,
    }

    #[test]
    fn each_command_has_its_page_and_the_hidden_ones_have_none() {
        use clap::CommandFactory;

        let directory = std::env::temp_dir().join(format!("drain-documents-{}", std::process::id()));
        let page = Page { section: "8", files: &[("/etc/shop", ".what it sells")], see_also: &["till(1)"] };
        write(Shop::command(), &page, &directory).unwrap();
        let mut found: Vec<String> = Vec::new();
        for below in ["man", "bash", "zsh", "fish"] {
            for entry in fs::read_dir(directory.join(below)).unwrap() {
                found.push(format!("{below}/{}", entry.unwrap().file_name().display()));
            }
        }
        found.sort();
        assert_eq!(found, ["bash/shop", "fish/shop.fish", "man/shop-open.8", "man/shop.8", "zsh/_shop"]);
        let text = fs::read_to_string(directory.join("man/shop-open.8")).unwrap();
        assert!(text.contains("\\-\\-at"), "{text}");
        assert!(text.contains("\n\\&.what it sells\n"), "{text}");
        assert!(text.contains("\\fBtill\\fR(1)"), "{text}");
        fs::remove_dir_all(directory).unwrap();
    }
}
