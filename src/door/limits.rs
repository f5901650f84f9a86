//! What the door allows: how many, how much, how long; derived from what the machine has.

use std::time::Duration;

use crate::system::{descriptors, memory};

/// The longest body of a request: as much as a value's text may have.
pub const MAX_BODY: usize = crate::value::MAX_TEXT;

/// Descriptors that aren't for connections: the log and its compaction, listeners, the poller, pipes, a few to spare.
const RESERVED: u64 = 32;

/// RAM that a connection is counted with. An idle one takes about a quarter of it; one that sends a head, twice.
const PER_CONNECTION: u64 = 8 * 1024;

/// Limits and deadlines of a door.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time. At the limit the one that idles longest makes place for a new one.
    pub connections: usize,
    /// Of these, how many may be WebSockets and event streams, which never idle.
    pub streams: usize,
    /// Of one address that is neither loopback nor the local socket, and hasn't shown a token.
    pub per_address: usize,
    /// Bytes of bodies and answers that wait in memory, beyond the first [`Limits::free`] of each.
    pub memory: usize,
    /// Bytes of one body or answer that aren't counted.
    pub free: usize,
    /// Bytes of one body.
    pub body: usize,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// For a body or an answer, and one second more for each [`Limits::rate`] bytes of it.
    pub transfer_time: Duration,
    /// Bytes a second that a body or an answer must come to in the long run.
    pub rate: usize,
    /// Without a request on an open connection.
    pub idle_time: Duration,
    /// For reading on after a refusal, so that the client sees the answer.
    pub linger_time: Duration,
    /// After the stop signal, for what is under way.
    pub stop_time: Duration,
    /// Between comment lines of a silent event stream.
    pub keep_alive: Duration,
    /// After `accept` failed for want of descriptors.
    pub back_off: Duration,
    /// Before the answer to an address's first wrong token; doubled by each more, up to 16 times this.
    pub wrong_token: Duration,
}

impl Limits {
    /// The limits for a machine with so many descriptors for this process and so many bytes of memory.
    pub fn of(descriptors: u64, ram: u64) -> Limits {
        let by_descriptors = descriptors.saturating_sub(RESERVED).max(8);
        let by_ram = ram / 8 / PER_CONNECTION;
        let connections = by_descriptors.min(by_ram.clamp(64, 65_536)) as usize;
        Limits {
            connections,
            streams: (connections * 3 / 4).max(1),
            per_address: (connections / 4).max(4),
            // At least four whole bodies; on 64 MB of RAM it's 8 MB.
            memory: usize::try_from((ram / 8).max(4 * MAX_BODY as u64)).unwrap_or(usize::MAX),
            free: 16 * 1024,
            body: MAX_BODY,
            head_time: Duration::from_secs(10),
            transfer_time: Duration::from_secs(30),
            rate: 8 * 1024,
            idle_time: Duration::from_secs(60),
            linger_time: Duration::from_secs(5),
            stop_time: Duration::from_secs(1),
            keep_alive: Duration::from_secs(15),
            back_off: Duration::from_millis(100),
            wrong_token: Duration::from_millis(250),
        }
    }

    /// The limits for this machine, where other parts of the server need so many descriptors. Raises the limit of
    /// descriptors as far as may be.
    pub fn detect(others: u64) -> Limits {
        Limits::of(descriptors().saturating_sub(others), memory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_descriptors_and_memory() {
        for (descriptors, ram, connections) in [
            (1024, 64 << 20, 992),
            (4096, 64 << 20, 1024),
            (65_600, 16 << 30, 65_536),
            (10, 64 << 20, 8),
            (1024, 0, 64),
            (u64::MAX, u64::MAX, 65_536),
        ] {
            let limits = Limits::of(descriptors, ram);
            assert_eq!(limits.connections, connections, "{descriptors} {ram}");
            assert!(limits.streams < limits.connections && limits.per_address < limits.connections);
            assert!(limits.memory >= 4 * MAX_BODY);
        }
    }

    #[test]
    fn this_machine_has_limits() {
        assert!(Limits::detect(0).connections >= 8);
        assert_eq!(Limits::detect(u64::MAX).connections, 8);
    }
}
