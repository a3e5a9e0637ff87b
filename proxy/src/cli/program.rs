//! The program's own name, which holds wherever the process goes.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::said::Said;

/// Where the process was before `-C`.
static BEGAN_IN: OnceLock<PathBuf> = OnceLock::new();

/// Goes to the directory of `-C`.
pub(super) fn go_to(directory: &Path) -> Result<(), Said> {
    if let Ok(here) = env::current_dir() {
        BEGAN_IN.get_or_init(|| here);
    }
    env::set_current_dir(directory).map_err(|error| {
        Said::Error(format!("error: can't go to the directory {}: {error}", directory.display()))
    })
}

/// This program by the name that it was started by, wherever the process has gone since (`-C`): a newer one in its place is
/// found, and symbolic links are not resolved for that reason.
pub fn program() -> PathBuf {
    let name = env::args_os().next().map_or_else(|| "/proc/self/exe".into(), PathBuf::from);
    match BEGAN_IN.get() {
        // A name without a slash is looked for in PATH.
        Some(directory) if name.as_os_str().as_encoded_bytes().contains(&b'/') => directory.join(name),
        _ => name,
    }
}
