//! The one sink of the `log` facade: lines on standard error.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

use crate::system::now_ms;
use crate::words;

struct Sink;

static SINK: Sink = Sink;

/// Sends what is logged from now on to standard error. A second call only changes the level.
pub fn install(level: LevelFilter) {
    // Whoever embeds tega may have installed a logger of its own, which then stays.
    let _ = log::set_logger(&SINK);
    log::set_max_level(level);
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What the libraries below tell in detail is noise.
        metadata.target().starts_with("tega") || metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(i64::try_from(now_ms()).unwrap_or(i64::MAX), record);
        // A supervisor that closed standard error must not take the server down with it.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Time, level, module, message; a message stays on its line whatever a client put into it.
fn line(ms: i64, record: &Record<'_>) -> String {
    let module = record.target();
    let module = module.strip_prefix("tega::").unwrap_or(module);
    let module = module.split("::").next().unwrap_or(module);
    let mut line = format!("{} {:5} {module}: ", words::time(ms), record.level());
    for c in record.args().to_string().chars() {
        match c {
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_forge_another_line() {
        let record = Record::builder()
            .target("tega::door::listen")
            .level(log::Level::Warn)
            .args(format_args!("from \"a\n2026 b\x1b[31m\""))
            .build();
        let text = line(0, &record);
        assert_eq!(text, "1970-01-01T00:00:00Z WARN  door: from \"a\\n2026 b\\u{1b}[31m\"\n");
    }
}
