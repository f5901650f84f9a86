//! # What the system tells
//!
//! The clock and the numbers of `/proc`, read in one place. Where a system doesn't tell (`/proc` is Linux's), there's
//! `None`, and the caller goes on without.
//!
//! And it runs programs: [`program`].
//!
//! The clock is information for people only: a router boots in 1970, so nothing is ever ordered or judged by it.

mod memory;
pub mod program;

pub use memory::{Budget, LEAST, memory};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Milliseconds since 1970 by this machine's clock; 0 where that is before.
pub fn now_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// This machine's RAM, in KiB.
pub fn ram_kib() -> Option<u64> {
    kib("/proc/meminfo", "MemTotal:")
}

/// The memory that a process of this machine has in RAM, in KiB; `None`: this one.
pub fn resident_kib(pid: Option<u64>) -> Option<u64> {
    let pid = pid.map_or_else(|| "self".to_string(), |pid| pid.to_string());
    kib(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// How many descriptors this process may have; the limit is raised to 65,600 or as far as the system allows.
pub fn descriptors() -> u64 {
    const WANTED: u64 = 65_600;
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(WANTED);
    let wanted = now.maximum.unwrap_or(WANTED).min(WANTED);
    let raised = soft < wanted
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum }).is_ok();
    if raised { wanted } else { soft }
}

/// Which boot of this machine this is; `None`: the system doesn't tell.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_string()).filter(|id| !id.is_empty())
}

/// Milliseconds since the boot, sleep included. It never goes back, and is the same for all processes of one boot.
pub fn boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000) + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// This machine's name, or nothing.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().into()
}

fn kib(file: &str, field: &str) -> Option<u64> {
    number(&std::fs::read_to_string(file).ok()?, field)
}

/// The number of a line `FIELD   123 kB`.
fn number(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name_and_needs_its_unit() {
        let text = "VmRSSx: 1 kB\nVmRSS:\t  1234 kB\nVmData:\t 9\n";
        assert_eq!(number(text, "VmRSS:"), Some(1234));
        assert_eq!(number(text, "VmData:"), None);
        assert_eq!(number(text, "VmSize:"), None);
    }
}
