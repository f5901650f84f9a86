//! What happens, as it's told: who did what, and when since the start. The parts of a demo run on threads of their own
//! and tell it here; the one that directs prints it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli::fault::Fault;

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Happened {
    at: Duration,
    who: String,
    what: String,
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.2}s  {:<7} {}", self.at.as_secs_f64(), self.who, self.what)
    }
}

/// The parts that run on a thread of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Until every router is linked and has its configuration.
    Setup,
    /// What is shown then.
    Tour,
    /// The live screen.
    Screen,
    /// Switches routers off and on.
    Power,
    /// Hears what happens at the global.
    Ear,
    /// The program on a router.
    Agent,
}

/// What comes to the one that directs.
#[derive(Debug)]
pub(super) enum Said {
    /// To be printed.
    Happened(Happened),
    /// A signal asks for the end.
    Signal,
    /// A part is through, or failed.
    Ended(Part, Result<(), Fault>),
}

/// Tells the one that directs; cheap to clone.
#[derive(Clone)]
pub(super) struct Teller {
    begun: Instant,
    said: Sender<Said>,
}

impl Teller {
    /// One whose clock starts now, and where it's heard.
    pub(super) fn new() -> (Teller, Receiver<Said>) {
        let (said, heard) = channel();
        (Teller { begun: Instant::now(), said }, heard)
    }

    /// When it began.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// What happens now.
    pub(super) fn now(&self, who: &str, what: impl Into<String>) -> Happened {
        Happened { at: self.begun.elapsed(), who: who.into(), what: what.into() }
    }

    /// Tells that it happened. That nobody listens any more means that the demo is over.
    pub(super) fn tell(&self, who: &str, what: impl Into<String>) {
        let _ = self.said.send(Said::Happened(self.now(who, what)));
    }

    /// Tells of a signal.
    pub(super) fn signal(&self) {
        let _ = self.said.send(Said::Signal);
    }

    /// Runs a part on a thread of its own, whose end is told however it comes.
    pub(super) fn run(
        &self,
        part: Part,
        work: impl FnOnce() -> Result<(), Fault> + Send + 'static,
    ) -> Result<JoinHandle<()>, Fault> {
        let said = self.said.clone();
        let thread = std::thread::Builder::new().name(format!("{part:?}").to_lowercase());
        let thread = thread.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work));
            let panic = |_| Err(Fault::error(format!("{part:?} ended by a panic")));
            let _ = said.send(Said::Ended(part, outcome.unwrap_or_else(panic)));
        });
        thread.map_err(|error| Fault::error(format!("can't start a thread: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_and_what() {
        let happened =
            Happened { at: Duration::from_millis(1_234), who: "attic".into(), what: "linked".into() };
        assert_eq!(happened.to_string(), "  1.23s  attic   linked");
    }

    #[test]
    fn the_end_of_a_part_is_told_however_it_comes() {
        let (teller, heard) = Teller::new();
        let mut ends = Vec::new();
        for work in [|| Ok(()), || Err(Fault::error("no")), || panic!("on purpose")] {
            teller.run(Part::Tour, work).unwrap().join().unwrap();
            let Ok(Said::Ended(Part::Tour, outcome)) = heard.recv() else { panic!("no end") };
            ends.push(outcome.map_err(|fault| fault.message));
        }
        assert_eq!(ends, [Ok(()), Err("no".into()), Err("Tour ended by a panic".into())]);
    }
}
