//! Whether the system killed processes for lack of memory, and how much memory there is.
//!
//! Linux only; elsewhere the answers are "unknown". Must not know evaluators.

use std::fs;
use std::path::{Path, PathBuf};

/// How many processes the kernel has killed for lack of memory, as far as this process can see:
/// on the whole system and in its own control group. The number only grows.
pub(crate) fn kills() -> u64 {
    let system = fs::read_to_string("/proc/vmstat").ok();
    let group =
        control_group().and_then(|path| fs::read_to_string(path.join("memory.events")).ok());
    let counted = |text: Option<String>| text.and_then(|text| counter(&text, "oom_kill"));
    counted(system).unwrap_or(0).saturating_add(counted(group).unwrap_or(0))
}

/// The memory that this process and its children may use, bytes: the machine's, or less where a
/// control group limits it.
pub(crate) fn available_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let limit = control_group().and_then(|path| limit(&path));
    match (machine, limit) {
        (Some(machine), Some(limit)) => Some(u64::min(machine, limit)),
        (machine, limit) => machine.or(limit),
    }
}

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// The directory of this process's control group, version 2.
fn control_group() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(CONTROL_GROUPS).join(path))
}

/// The lowest limit of a control group and those around it.
fn limit(group: &Path) -> Option<u64> {
    let groups = group.ancestors().take_while(|path| path.starts_with(CONTROL_GROUPS));
    let limits = groups.filter_map(|path| fs::read_to_string(path.join("memory.max")).ok());
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = "oom_group_kill 9\noom_kill 3\noom 1\n";
        assert_eq!(counter(text, "oom_kill"), Some(3));
        assert_eq!(counter(text, "kill"), None);
        assert_eq!(counter("oom_kill many", "oom_kill"), None);
    }

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        assert_eq!(total_bytes("MemTotal:       16384 kB\nMemFree: 5 kB\n"), Some(16_777_216));
        assert_eq!(total_bytes("MemFree: 5 kB\n"), None);
        assert_eq!(total_bytes("MemTotal: much kB\n"), None);
    }
}
