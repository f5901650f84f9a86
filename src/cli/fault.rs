//! What went wrong, and the exit code that says it to a script.

use std::fmt;

/// How a run of the program ends. The codes are a promise to scripts and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It worked.
    Ok,
    /// It didn't, for a reason that has no code of its own.
    Error,
    /// The command line isn't one.
    Usage,
    /// Nothing is there.
    NotFound,
    /// A version wasn't the expected one.
    Conflict,
    /// The server wasn't reached: nothing happened.
    Unreachable,
    /// The server was reached and didn't answer: it may have happened.
    Unknown,
}

impl Exit {
    /// The code that the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Conflict => 4,
            Exit::Unreachable => 5,
            Exit::Unknown => 6,
        }
    }

    /// The exit of a code from the table of errors.
    pub fn from_code(code: u8) -> Exit {
        match code {
            0 => Exit::Ok,
            2 => Exit::Usage,
            3 => Exit::NotFound,
            4 => Exit::Conflict,
            5 => Exit::Unreachable,
            6 => Exit::Unknown,
            _ => Exit::Error,
        }
    }
}

/// A verb that failed: how it ends, and the line for standard error (without `tega: `).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How the program ends.
    pub exit: Exit,
    /// One line for people. Empty: say nothing.
    pub message: String,
}

impl Fault {
    /// A fault with this exit.
    pub fn new(exit: Exit, message: impl Into<String>) -> Fault {
        Fault { exit, message: message.into() }
    }

    /// A fault without a code of its own.
    pub fn error(message: impl Into<String>) -> Fault {
        Fault::new(Exit::Error, message)
    }

    /// A command line that isn't one.
    pub fn usage(message: impl Into<String>) -> Fault {
        Fault::new(Exit::Usage, message)
    }

    /// Standard output could not be written. A reader that went away (`tega get a | head`) has all it
    /// wanted: that is success.
    pub fn output(error: &std::io::Error) -> Fault {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Fault::new(Exit::Ok, "")
        } else {
            Fault::error(format!("can't write to standard output: {error}"))
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
