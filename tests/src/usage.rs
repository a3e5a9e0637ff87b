//! What a process has used, as the kernel accounts for it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// CPU time of a process and all its descendants, in nanoseconds on the processor.
///
/// Summed over threads from `/proc/PID/task/*/schedstat`: clock ticks would be too coarse for short rounds.
pub fn cpu_nanos(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in family(pid)? {
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += schedstat.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Resident memory of a process and all its descendants, in KiB.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in family(pid)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
        sum += status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .and_then(|v| v.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

/// The most memory that one process has had resident since its start, in KiB.
pub fn peak_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("the kernel tells no VmHWM")?;
    peak.trim().trim_end_matches(" kB").parse().context("VmHWM is no number of kB")
}

/// The process and its descendants.
pub fn family(pid: u32) -> Result<Vec<u32>> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        next += 1;
        let tasks = Path::new("/proc").join(pid.to_string()).join("task");
        for task in fs::read_dir(&tasks).with_context(|| format!("no process {pid}"))? {
            let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    Ok(all)
}
