//! Figures, how they're taken, and the table that they're printed in.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::Group;

/// A measured number; `None` where a row is too small for it to mean anything.
pub(crate) type Figure = Option<f64>;

/// How long one figure is measured.
const TIME: Duration = Duration::from_millis(300);

/// Nanoseconds a call of `work`, which gets the number of the call: the best of five turns, since whatever else the
/// machine does only ever adds.
pub(crate) fn nanoseconds<T>(mut work: impl FnMut(usize) -> T) -> Figure {
    let mut count = 0;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (start, first) = (Instant::now(), count);
        while start.elapsed() < TIME / 5 {
            for _ in 0..100 {
                black_box(work(count));
                count += 1;
            }
        }
        best = best.min(start.elapsed().as_nanos() as f64 / (count - first) as f64);
    }
    Some(best)
}

/// The memory of this process that is in RAM, in bytes.
pub(crate) fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

pub(crate) fn encode(figures: &[Figure]) -> String {
    figures.iter().map(|figure| figure.map_or("-".into(), |f| f.to_string())).collect::<Vec<_>>().join(" ")
}

pub(crate) fn decode(line: &str) -> Vec<Figure> {
    line.split_whitespace().map(|figure| figure.parse().ok()).collect()
}

pub(crate) fn print(group: &Group, rows: impl Iterator<Item = (usize, Vec<Figure>)>) {
    print!("{:>12}", group.name);
    for column in group.columns {
        print!("{column:>20}");
    }
    println!();
    for (row, figures) in rows {
        print!("{row:>12}");
        for figure in figures {
            match figure {
                Some(figure) => print!("{figure:>20.0}"),
                None => print!("{:>20}", "-"),
            }
        }
        println!();
    }
    println!();
}
