//! What the agents' user is permitted: polkit's rule asks `drain-agent permits`.

use std::{fs, path::Path};

use crate::config::{By, Config};

/// Whether one of the configurations in `directory` has systemd restart `unit`, or the service of the same name where it
/// is a socket. One that is not valid permits nothing.
pub(super) fn permits(unit: &str, directory: &Path) -> bool {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let configurations = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let service =
        unit.strip_suffix(".socket").map_or_else(|| unit.to_owned(), |stem| format!("{stem}.service"));
    let mut configurations = configurations.filter_map(|path| {
        // Who asks may not read the keys that it names.
        let text = fs::read_to_string(&path).ok()?;
        Config::parse(&path.display().to_string(), &text, path.file_stem()?.to_str()).ok()
    });
    configurations.any(|config| matches!(config.restart.by, By::Unit { unit, .. } if *unit == *service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn exactly_the_units_of_valid_configurations_are_permitted() {
        let directory = Scratch::new("permits");
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        write("a.toml", "server.ports = [80]\nrestart.unit = 'shop.service'");
        write("b.toml", "server.ports = [80]\nrestart.unit = 'invalid.service'\nnonsense = 1");
        write("c.txt", "server.ports = [80]\nrestart.unit = 'other.service'");
        let permits = |unit: &str| permits(unit, directory.path());
        assert!(permits("shop.service") && permits("shop.socket"));
        for unit in [
            "invalid.service",
            "other.service",
            "shop",
            "shop.timer",
            "ssh.service",
            "shop.service.socket",
            "-h.service",
            "--help",
        ] {
            assert!(!permits(unit), "{unit}");
        }
    }
}
