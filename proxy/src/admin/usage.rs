//! What the process uses of the machine, as the kernel counts it.

use std::{fs, os::unix::fs::MetadataExt};

use rustix::process::{Resource, getrlimit};

/// Open files. `None`: `/proc` can't be read.
pub fn descriptors() -> Option<u64> {
    const OPEN: &str = "/proc/self/fd";
    // Since Linux 6.2 the folder's size is their number; before, it is 0, and they are to be counted.
    match fs::metadata(OPEN).ok()?.size() {
        0 => Some(fs::read_dir(OPEN).ok()?.count() as u64),
        count => Some(count),
    }
}

/// How many files may be open. `None`: any number.
pub fn most_descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Resident memory, in bytes. `None`: `/proc` can't be read.
pub fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_files_and_memory() {
        assert!(descriptors().unwrap() >= 3);
        assert!(most_descriptors().is_none_or(|most| most >= descriptors().unwrap()));
        assert!(resident_bytes().unwrap() > 100_000);
    }
}
