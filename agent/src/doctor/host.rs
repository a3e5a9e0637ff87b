//! The agent on its host: its files, its ports, its clock.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
};

use jiff::Timestamp;

use super::Finding;

/// What the findings of ports are about.
const PORTS: &str = "ports";

/// 2025 by the wall clock: this program is younger.
const BUILT_UNIX: u64 = 1_735_689_600;

/// The least that must be free for the state file, in bytes: with 256 balancers and a report it has 200 KB.
const FREE_BYTES: u64 = 1024 * 1024;

/// Whether a state file can be written beside `state`. Blocking.
pub(super) fn state_file(state: &Path) -> Finding {
    const ABOUT: &str = "state_file";
    let mut probe = state.to_owned().into_os_string();
    probe.push(".doctor");
    let write = || -> io::Result<()> {
        let mut file = File::create(&probe)?;
        file.write_all(b"{}")?;
        file.sync_all()
    };
    let written = write();
    // Where it could not be made there is nothing to remove.
    let _removed = fs::remove_file(&probe);
    if let Err(error) = written {
        return Finding::failure(
            ABOUT,
            format!("nothing can be written beside {}: {error}; every drain is refused", state.display()),
            "let the agent's user write there, or name another place as `state`",
        );
    }
    let directory = state.parent().unwrap_or(Path::new("/"));
    let free = rustix::fs::statvfs(directory).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match free {
        Ok(free) if free < FREE_BYTES => Finding::warning(
            ABOUT,
            format!("only {} KiB are free for {}", free / 1024, state.display()),
            "make room: a drain that can't be written down is refused",
        ),
        _ => Finding::ok(ABOUT, format!("{} can be written", state.display())),
    }
}

/// Whether the agent listens where it is told to, and nowhere else: at `configured` for everybody, at `guarded` for who
/// has a token; whoever reaches those in `believing` is believed what he says of himself. Blocking.
pub(super) fn ports(
    configured: &[SocketAddr],
    guarded: Option<SocketAddr>,
    believing: &[SocketAddr],
) -> Vec<Finding> {
    let listening = match listening() {
        Ok(listening) => listening,
        Err(error) => {
            let text = format!("where the agent listens can't be read: {error}");
            return vec![Finding::warning(PORTS, text, "let the agent read /proc")];
        }
    };
    let mut findings = Vec::new();
    for address in configured.iter().chain(&guarded) {
        findings.push(if listening.contains(address) {
            Finding::ok(PORTS, format!("{address} is open, as configured"))
        } else {
            Finding::warning(
                PORTS,
                format!("{address} is configured, but not open"),
                if guarded == Some(*address) {
                    "mend the files of control.tls and control.token_file, and reload the agent; an address that was \
                     added to the configuration is opened at its next start"
                } else {
                    "restart the agent: addresses hold from its next start on"
                },
            )
        });
        if address.ip().is_unspecified() && guarded != Some(*address) {
            let believes = if believing.contains(address) {
                ", and believes their headers: whoever makes one up can hold drains, or have them refused"
            } else {
                ""
            };
            findings.push(Finding::warning(
                PORTS,
                format!(
                    "{address} answers everybody who reaches this host: the state and the reason of a drain{believes}"
                ),
                "open the port to the balancers only, in the firewall, or name the address on which they ask; \
                 balancers.trust says whose headers are believed",
            ));
        }
    }
    for address in
        listening.iter().filter(|address| !configured.contains(address) && guarded != Some(**address))
    {
        findings.push(Finding::warning(
            PORTS,
            format!("{address} is open, but not configured"),
            "restart the agent: addresses hold from its next start on",
        ));
    }
    findings
}

/// Whether the kernel refuses this process the ports that nothing names; `unbounded` is what needs them all. Blocking.
pub(super) fn other_ports(unbounded: &[String]) -> Finding {
    if !unbounded.is_empty() {
        return Finding::ok(PORTS, format!("it may listen on any port, for {}", unbounded.join(", ")));
    }
    // Of the kernel's own choice, and so none that is configured.
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::ok(PORTS, "the kernel refuses to open any other")
        }
        Ok(_) | Err(_) => Finding::warning(
            PORTS,
            "whoever finds a way into the agent may listen on any port: the kernel refuses none",
            "Linux 6.7 or newer with Landlock, a SystemCallFilter= of the agent's unit that lets it be asked for, and a \
             restart of the agent",
        ),
    }
}

/// What the clock says, as far as that can be judged from inside.
pub(super) fn clock(unix: u64) -> Finding {
    const ABOUT: &str = "clock";
    let time = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    let text = time.map_or_else(|| unix.to_string(), |time| time.to_string());
    if unix < BUILT_UNIX {
        return Finding::warning(
            ABOUT,
            format!("the wall clock says {text}, which is long ago: reports and `--for` go by it"),
            "set the clock (timedatectl, chrony)",
        );
    }
    Finding::ok(ABOUT, format!("the wall clock says {text}"))
}

/// Where this process listens.
fn listening() -> io::Result<BTreeSet<SocketAddr>> {
    let own = fs::read_dir("/proc/self/fd")?;
    let own: BTreeSet<u64> = own
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            target.to_string_lossy().strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect();
    let mut all = BTreeSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => all.extend(text.lines().skip(1).filter_map(|line| of_line(line, &own))),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The address in a line of /proc/net/tcp, where one of the sockets `own` listens.
fn of_line(line: &str, own: &BTreeSet<u64>) -> Option<SocketAddr> {
    listening_socket(line).filter(|(_, inode)| own.contains(inode)).map(|(address, _)| address)
}

/// The address and the inode in a line of /proc/net/tcp, where the socket listens.
pub(crate) fn listening_socket(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != LISTEN {
        return None;
    }
    let inode = inode.parse().ok()?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits, each in the host's order.
    let words: Option<Vec<u8>> = (0..ip.len() / 8)
        .map(|word| Some(u32::from_str_radix(ip.get(word * 8..word * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<Vec<_>>>()
        .map(|words| words.concat());
    let words = words?;
    let ip = match <[u8; 4]>::try_from(words.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.as_slice()).ok()?)),
    };
    Some((SocketAddr::new(ip, port), inode))
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
    use crate::scratch::Scratch;

    #[test]
    fn the_state_file_is_tried_and_nothing_is_left() {
        let scratch = Scratch::new("doctor-state");
        assert_eq!(state_file(&scratch.join("a.json")).level, Level::Ok);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        assert_eq!(state_file(&scratch.join("no/a.json")).level, Level::Failure);
    }

    #[test]
    fn a_listener_of_our_own_is_seen_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            assert!(listening().unwrap().contains(&address), "{address}");
            let of = |configured: &[SocketAddr]| {
                let found = ports(configured, None, &[]);
                let of_it = found.into_iter().find(|finding| finding.text.contains(&address.to_string()));
                of_it.map(|finding| finding.level)
            };
            assert_eq!(of(&[address]), Some(Level::Ok));
            assert_eq!(of(&[]), Some(Level::Warning));
            let guarded = ports(&[], Some(address), &[]);
            assert!(guarded.contains(&Finding::ok("ports", format!("{address} is open, as configured"))));
            drop(listener);
            assert_eq!(of(&[address]), Some(Level::Warning), "not open");
        }
    }

    #[test]
    fn a_process_that_may_listen_anywhere_is_seen_unless_it_has_to() {
        assert_eq!(other_ports(&[]).level, Level::Warning);
        let finding = other_ports(&["restart.command".to_owned()]);
        assert!(finding.level == Level::Ok && finding.text.contains("restart.command"), "{}", finding.text);
    }

    #[test]
    fn a_clock_that_was_never_set_is_seen() {
        assert_eq!(clock(0).level, Level::Warning);
        assert_eq!(clock(BUILT_UNIX + 1).level, Level::Ok);
    }
}
