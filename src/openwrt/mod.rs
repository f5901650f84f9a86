//! # A router's configuration as a tree, and back
//!
//! OpenWrt keeps its configuration in `/etc/config`, one file for each *package*, in a format named UCI. This module
//! knows that format and its form in the tree. All of it but the
//! bridge is pure: bytes and values in, bytes, values and findings out.
//!
//! | part | one job |
//! | --- | --- |
//! | [`uci`] | one file: read as the router's own `uci` reads it, changed without touching what didn't change |
//! | [`package`] | one file's content as the value below `config-ID.uci.PACKAGE`, and a file made of that value |
//! | [`bridge`] | brings the tree to the files, each version on trial |
//! | [`check`](mod@check) | what certainly breaks, before a file is touched |
//! | [`secret`] | which options nobody is shown unless he asks |
//!
//! **The tree.** `config-ID.uci` has one key for each package that is managed; a package that isn't there is left
//! alone. Below it stands one key for each section, and in that the options: text, or a list of texts. What ubus adds
//! with a leading dot (`.type`, `.anonymous`, `.index`) is there too.
//!
//! ```
//! use tega::openwrt::{package::{self, Rendered}, uci::File};
//!
//! let old = File::parse(b"# the uplink\nconfig interface wan\n\toption proto dhcp # for now\n")?;
//! let value = package::read(&old)?;
//! assert_eq!(value.to_string(), r#"{"wan":{".index":0,".type":"interface","proto":"dhcp"}}"#);
//!
//! let wanted = tega::value::Value::parse(r#"{"wan":{".index":0,".type":"interface","proto":"pppoe"}}"#)?;
//! let new = b"# the uplink\nconfig interface wan\n\toption proto pppoe # for now\n".to_vec();
//! assert_eq!(package::render(Some(&old), &wanted)?, Rendered::Write(new));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **How it fails.** With an error that names the line of the file or the path in the tree, and the reason. Nothing
//! is guessed: a value that UCI can't hold is refused rather than bent.
//!
//! **What it isn't.** It doesn't know the meaning of most options: [`check`](mod@check) finds what certainly breaks, and a router
//! that starts its services with a configuration is the only judge of the rest.

pub mod bridge;
pub mod check;
pub mod package;
pub mod secret;
pub mod uci;

use std::fmt;

/// The part of a root that is a router's `/etc/config`.
pub const UCI: &str = "uci";

/// Writes a text that came from elsewhere so that it stays one line, can't command a terminal, and isn't too long.
fn one_line(text: &str, most: usize, out: &mut impl fmt::Write) -> fmt::Result {
    let mut chars = text.chars();
    for c in chars.by_ref().take(most) {
        if c.is_control() { write!(out, "{}", c.escape_default())? } else { out.write_char(c)? }
    }
    if chars.next().is_some() { out.write_char('…') } else { Ok(()) }
}
