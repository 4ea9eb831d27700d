//! How much memory this process may have: the machine's, or less where its own limits or its control
//! groups say so.
//!
//! Linux; elsewhere the answer is "unknown". Must not know who else shares the machine: whoever starts
//! several processes divides.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// Where control groups are found.
const GROUPS: &str = "/sys/fs/cgroup";

/// The memory that this process may have, in bytes.
pub(super) fn available_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let own = [Resource::Data, Resource::As].map(|resource| getrlimit(resource).current);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = group_bytes(&groups, Path::new(GROUPS));
    [machine, groups].into_iter().chain(own).flatten().min()
}

/// All memory, by `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit among the control groups of `/proc/self/cgroup` and all that they lie in, of
/// version 2 and 1. No limit is written as `max`, or as more than any machine has.
fn group_bytes(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (base, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            some if some.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // In a container the path may be the host's: groups that are not there are passed over.
        let within = Path::new(path).ancestors().map(|group| {
            let group = group.strip_prefix("/").unwrap_or(group);
            limit(base.join(group).join(file))
        });
        within.flatten().min()
    });
    limits.min()
}

fn limit(file: PathBuf) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_in_bytes() {
        assert_eq!(machine_bytes("MemTotal:       1000 kB\nMemFree: 5 kB\n"), Some(1_024_000));
    }

    #[test]
    fn the_least_limit_of_all_groups_around_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let found = |groups: &str| group_bytes(groups, root.path());
        assert_eq!(found("0::/slice/unit\n"), None);
        write("slice/unit/memory.max", "max\n");
        assert_eq!(found("0::/slice/unit\n"), None);
        write("slice/memory.max", "4096\n");
        write("memory.max", "8192\n");
        assert_eq!(found("0::/slice/unit\n"), Some(4096));
        // The container's own group is the root of what it sees.
        assert_eq!(found("0::/docker/5f3a\n"), Some(8192));
        assert_eq!(found("0::/\n"), Some(8192));

        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/batch/job/memory.limit_in_bytes", "2048\n");
        let first = "11:cpu,cpuacct:/batch\n4:memory:/batch/job\n1:name=systemd:/slice\n";
        assert_eq!(found(first), Some(2048));
        assert_eq!(found("4:memory:/batch\n"), Some(9_223_372_036_854_771_712));
        assert_eq!(found("11:cpu,cpuacct:/batch/job\nnonsense\n"), None);
    }
}
