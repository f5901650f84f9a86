//! How much memory this process may take, and a budget that several parts of it share.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};

/// What is supposed where the system doesn't tell: the smallest machine that this is made for.
pub const LEAST: u64 = 64 << 20;

/// The memory that this process may take, in bytes: the machine's RAM, or less where a control group or a limit of its
/// address space (`ulimit -v`) says so.
pub fn memory() -> u64 {
    let ram = super::ram_kib().and_then(|kib| kib.checked_mul(1024));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let files = group_files(&groups);
    let groups = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let groups: Vec<u64> = groups.filter_map(|text| text.trim().parse().ok()).collect();
    let limit = |resource| getrlimit(resource).current;
    least(ram, &groups, [limit(Resource::As), limit(Resource::Data)])
}

/// The least of what is known; a group without a limit says `max` (version 2) or a number beyond any RAM (version 1).
fn least(ram: Option<u64>, groups: &[u64], limits: [Option<u64>; 2]) -> u64 {
    let known = ram.into_iter().chain(groups.iter().copied()).chain(limits.into_iter().flatten());
    known.min().unwrap_or(LEAST)
}

/// The files with the limits of the groups that a `/proc/self/cgroup` names, and of those above them.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        // `0::/PATH` is of version 2; `4:memory:/PATH` and `4:cpu,memory:/PATH` are of version 1.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            some if some.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        // Whoever is in a namespace of groups may see a path from outside of it.
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            continue;
        }
        files.extend(path.ancestors().map(|above| Path::new(mount).join(above).join(file)));
    }
    files
}

/// Bytes that several parts share: what waits in memory for somebody slow. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Takes bytes; false: there aren't so many, and none were taken.
    pub fn take(&self, bytes: usize) -> bool {
        let rest = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, rest).is_ok()
    }

    /// Gives back what was taken.
    pub fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_ram_groups_and_limits_counts() {
        const M: u64 = 1 << 20;
        for (ram, groups, limits, wanted) in [
            (Some(128 * M), &[][..], [None, None], 128 * M),
            (Some(8192 * M), &[64 * M], [None, None], 64 * M),
            (Some(8192 * M), &[9_223_372_036_854_771_712, 512 * M], [None, None], 512 * M),
            (Some(8192 * M), &[512 * M], [Some(64 * M), None], 64 * M),
            (Some(8192 * M), &[512 * M], [None, Some(32 * M)], 32 * M),
            (None, &[], [None, None], LEAST),
        ] {
            assert_eq!(least(ram, groups, limits), wanted, "{ram:?} {groups:?} {limits:?}");
        }
        assert!(memory() > 0);
    }

    #[test]
    fn limits_are_looked_for_in_the_group_and_all_above_it() {
        let shown = |text: &str| -> Vec<String> {
            group_files(text).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            shown("0::/system.slice/tega.service\n"),
            [
                "/sys/fs/cgroup/system.slice/tega.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            shown("9:cpu:/x\n4:hugetlb,memory:/a\n"),
            ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert!(shown("0::/../../x\nnonsense\n").is_empty());
    }

    #[test]
    fn a_budget_gives_no_more_than_it_has() {
        let budget = Budget::new(10);
        assert!(budget.take(7) && !budget.clone().take(4) && budget.take(3));
        budget.give(10);
        assert!(budget.take(10));
    }
}
