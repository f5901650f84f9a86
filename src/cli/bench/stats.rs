//! Latencies and what is told of them.

use std::time::Duration;

use crate::value::{Finite, Value, ValueError};

/// Latencies that one client keeps; further ones are counted only.
const KEPT: usize = 1 << 20;

/// Latencies of answered requests.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Samples {
    micros: Vec<u32>,
    count: u64,
}

impl Samples {
    /// One more.
    pub(super) fn add(&mut self, latency: Duration) {
        self.count += 1;
        if self.micros.len() < KEPT {
            self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Those of another client too.
    pub(super) fn join(&mut self, other: Samples) {
        self.count += other.count;
        self.micros.extend(other.micros);
    }
}

/// A line of the result.
#[derive(Clone, Debug)]
pub(super) struct Row {
    name: [String; 4],
    count: u64,
    seconds: f64,
    p50: u32,
    p99: u32,
    rss: Option<u64>,
}

impl Row {
    pub(super) const HEAD: [&'static str; 8] =
        ["WHAT", "OVER", "CLIENTS", "DEPTH", "PER SECOND", "P50 µs", "P99 µs", "RSS KiB"];

    pub(super) fn new(name: [String; 4], samples: &Samples, time: Duration, rss: Option<u64>) -> Row {
        let mut micros = samples.micros.clone();
        micros.sort_unstable();
        let at =
            |percent: usize| micros.get(micros.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
        Row { name, count: samples.count, seconds: time.as_secs_f64(), p50: at(50), p99: at(99), rss }
    }

    fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.count as f64 / self.seconds } else { 0.0 }
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let mut cells = self.name.to_vec();
        cells.extend([format!("{:.0}", self.per_second()), self.p50.to_string(), self.p99.to_string()]);
        cells.push(self.rss.map_or("?".into(), |kib| kib.to_string()));
        cells
    }

    pub(super) fn to_value(&self) -> Result<Value, ValueError> {
        let [what, over, clients, depth] = &self.name;
        let number = |text: &str| Value::from(text.parse::<i64>().unwrap_or(0));
        Value::object(vec![
            ("what".into(), Value::from(what.as_str())),
            ("transport".into(), Value::from(over.as_str())),
            ("clients".into(), number(clients)),
            ("depth".into(), number(depth)),
            ("count".into(), Value::from(self.count)),
            ("per_second".into(), Finite::new(self.per_second().round()).map_or(Value::Null, Value::Float)),
            ("p50_us".into(), Value::from(i64::from(self.p50))),
            ("p99_us".into(), Value::from(i64::from(self.p99))),
            ("rss_kib".into(), self.rss.map_or(Value::Null, Value::from)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_latencies() {
        let mut samples = Samples::default();
        (1..=101u64).rev().for_each(|micros| samples.add(Duration::from_micros(micros)));
        let mut all = samples.clone();
        all.join(Samples::default());
        let row = Row::new(["put", "ws", "1", "16"].map(String::from), &all, Duration::from_secs(1), None);
        assert_eq!(row.cells(), ["put", "ws", "1", "16", "101", "51", "100", "?"]);
        assert_eq!(row.to_value().unwrap().get("depth").and_then(Value::as_int), Some(16));
    }
}
