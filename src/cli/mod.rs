//! # The command line
//!
//! What the user typed, then what it means: [`parse`] reads a command line against the tables in [`flags`] and
//! [`verbs`] and knows nothing else; each verb makes of it what it needs, with environment and defaults; [`usage`] prints the same table.
//!
//! Three promises to scripts:
//!
//! - Standard output has data and nothing else. What is for people goes to standard error, as `tega: …`.
//! - The exit code says what to do next ([`fault::Exit`]): above all whether a failed write *did not happen* (5) or
//!   *may have happened* (6).
//! - A reader that goes away is success: `tega watch a | head -1` ends quietly.
//!
//! A verb is a function from [`Typed`] and standard output to a result; the only `exit` is in `main`. All verbs but
//! `serve`, `demo`, `log`, `token`, `uci check|export|show` and `import --from-tega` see a server through [`crate::client`] alone.
//!
//! It isn't a shell: quoting, loops and variables are the caller's. `tega cli` reads the original's commands, and only
//! to keep old scripts alive.

mod admin;
#[cfg(feature = "tools")]
mod bench;
mod bridge;
mod bulk;
mod data;
#[cfg(feature = "tools")]
mod demo;
mod exec;
pub mod fault;
pub mod flags;
mod flash;
mod fleet;
mod hidden;
mod legacy;
mod link;
#[cfg(feature = "tools")]
mod listener;
mod live;
mod local;
#[cfg(feature = "tools")]
mod migrate;
#[cfg(feature = "tools")]
mod original;
pub mod parse;
mod past;
mod plugins;
mod remote;
mod serve;
mod show;
mod token;
mod tools;
mod tui;
mod uci;
pub mod usage;
pub mod verbs;

use std::ffi::OsString;
use std::path::Path;

use fault::Fault;
use flags::Verb;
use parse::Typed;
use show::{Out, note};
use verbs::{VERBS, verb_named};

/// Runs a command line, the program's name included, and says how the process ends.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let name = Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned());
    let args: Vec<OsString> = args.collect();
    let typed = match name.as_deref() {
        Some("tega-server") => legacy::server(&args).and_then(parse::parse),
        Some("tega-cli") => legacy::cli(&args).and_then(parse::parse),
        _ => parse::parse(args),
    };
    let mut out = Out::new();
    let outcome = typed.and_then(|typed| {
        let code = verb(&typed, &mut out)?;
        out.flush()?;
        Ok(code)
    });
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            // What was printed before the failure is data all the same.
            let _ = out.flush();
            if !fault.message.is_empty() {
                note(&fault.message);
            }
            fault.exit.code()
        }
    }
}

fn verb(typed: &Typed, out: &mut Out) -> Result<u8, Fault> {
    match typed.row.verb {
        Verb::Serve => return serve::serve(typed, out),
        Verb::Get => data::get(typed, out),
        Verb::Put => data::put(typed, out),
        Verb::Del => data::del(typed),
        Verb::Tx => bulk::tx(typed),
        Verb::Watch => live::watch(typed, out),
        Verb::Sub => live::sub(typed, out),
        Verb::Pub => live::publish(typed),
        Verb::Rpc => data::rpc(typed, out),
        Verb::Rollback => past::rollback(typed),
        Verb::History => past::history(typed, out),
        Verb::Diff => past::diff(typed, out),
        Verb::Roots => admin::roots(typed, out),
        Verb::Sessions => admin::sessions(typed, out),
        Verb::Plugins => plugins::plugins(typed, out),
        Verb::Fleet => fleet::fleet(typed, out),
        Verb::Home => fleet::home(typed, out),
        Verb::Status => admin::status(typed, out),
        Verb::Snapshot => admin::snapshot(typed),
        Verb::Clear => admin::clear(typed),
        Verb::Export => data::export(typed, out),
        Verb::Import => bulk::import(typed, out),
        Verb::Log => local::log(typed, out),
        Verb::Token => token::token(typed, out),
        Verb::Uci => uci::uci(typed, out),
        Verb::Bench => tools::bench(typed, out),
        Verb::Tui => tui::tui(typed),
        Verb::Demo => tools::demo(typed, out),
        Verb::Cli => return tools::cli(typed, out),
        Verb::Help => help(typed, out),
        Verb::Version => out.line(&format!("tega {}", env!("CARGO_PKG_VERSION"))),
    }?;
    Ok(0)
}

fn help(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    match typed.arg(0) {
        "" => out.text(&usage::overview()),
        name => match verb_named(name) {
            Some(row) => out.text(&usage::of_verb(row)),
            None => {
                let near = parse::nearest(name, VERBS.iter().map(|row| row.name));
                let hint = near.map_or(String::new(), |near| format!("; did you mean `tega help {near}`?"));
                Err(Fault::usage(format!("unknown verb {name:?}{hint}")))
            }
        },
    }
}
