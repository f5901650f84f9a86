//! `tega tui`: the live tree on this terminal.

use super::fault::Fault;
use super::parse::Typed;
#[cfg(any(feature = "tui", feature = "tools"))]
use crate::client::Server;

#[cfg(feature = "tui")]
mod screen {
    use std::io::IsTerminal;

    use super::super::fault::Fault;
    use super::super::flags::{Verb, VerbRow, flag_row};
    use super::super::remote::Remote;
    use super::super::verbs::VERBS;
    use super::{Server, Typed};
    use crate::api::route::{Page, Route};
    use crate::cli::flags::Flag;
    use crate::commit::TegaId;
    use crate::path::Path;
    use crate::tui::{Options, run};

    /// Verbs that `:` doesn't take there: they have no end, or a screen of their own, or need more than a server.
    const NOT_THERE: [Verb; 11] = [
        Verb::Demo,
        Verb::Serve,
        Verb::Tui,
        Verb::Bench,
        Verb::Cli,
        Verb::Log,
        Verb::Token,
        Verb::Uci,
        Verb::Sub,
        Verb::Watch,
        Verb::Tx,
    ];

    pub(super) fn tui(typed: &Typed) -> Result<(), Fault> {
        let mut remote = Remote::new(typed)?;
        // An address where nothing answers is told here, where it can be read and tested for.
        remote.ask(&Route::List { path: Path::TOP, page: Page { limit: 1, ..Page::default() } })?;
        let by = match &remote.by {
            Some(by) => by.clone(),
            None => nobody()?,
        };
        open(remote.target(), by, "", !typed.has(Flag::NoMouse))
    }

    /// The tega ID of changes where none was given.
    pub(in crate::cli) fn nobody() -> Result<TegaId, Fault> {
        TegaId::new("tui").map_err(|error| Fault::error(error.to_string()))
    }

    /// Opens the screen on a server.
    pub(in crate::cli) fn open(server: &Server, by: TegaId, hint: &str, mouse: bool) -> Result<(), Fault> {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Err(Fault::usage(
                "a terminal is wanted for the screen; `tega get` and `tega watch` are for scripts",
            ));
        }
        let verbs = VERBS.iter().filter(|row| !NOT_THERE.contains(&row.verb));
        let verbs = verbs.map(verb).collect();
        run(server, Options { by, hint: hint.into(), verbs, mouse }).map_err(Fault::error)
    }

    /// What a command line there has to know of a verb.
    fn verb(row: &VerbRow) -> crate::tui::Verb {
        let options = row.flags.iter().filter_map(|flag| flag_row(*flag)).map(|row| row.name).collect();
        crate::tui::Verb { name: row.name, args: row.args, help: row.help, options }
    }
}

/// `tega tui`
#[cfg(feature = "tui")]
pub(super) fn tui(typed: &Typed) -> Result<(), Fault> {
    screen::tui(typed)
}

/// Opens the screen on a server, with these lines about what to try.
#[cfg(all(feature = "tui", feature = "tools"))]
pub(super) fn open(server: &Server, hint: &str) -> Result<(), Fault> {
    screen::open(server, screen::nobody()?, hint, true)
}

/// What a build without a screen says.
#[cfg(not(feature = "tui"))]
const NONE: &str = "this tega was built without a screen; `tega get` and `tega watch` show the same";

#[cfg(not(feature = "tui"))]
pub(super) fn tui(_typed: &Typed) -> Result<(), Fault> {
    Err(Fault::error(NONE))
}

#[cfg(all(not(feature = "tui"), feature = "tools"))]
pub(super) fn open(_server: &Server, _hint: &str) -> Result<(), Fault> {
    Err(Fault::error(NONE))
}
