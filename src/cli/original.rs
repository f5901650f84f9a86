//! `tega cli`: the commands of the original's CLI, line by line, from a person or from a script.
//!
//! Answers are YAML. With a script as input the process ends with the exit code of the first command that failed; the
//! commands after it are read all the same, as the original did.

use std::io::{BufRead, IsTerminal, Write as _};

use super::data;
use super::fault::Fault;
use super::listener::Listener;
use super::live::session_id;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out, note};
use crate::api::route::{Read, Route, Write};
use crate::client::http::Answer;
use crate::migrate::python;
use crate::path::{Key, Path};
use crate::value::Value;
use crate::words;

const HELP: &str = "\
put PATH, then YAML up to an empty line    pute: ephemeral
get PATH   getr REGEX   geta PATH (with versions and owners)   del PATH
begin   cand   cancel   commit             a transaction
rollback ROOT -N   roots   old   ss   clear   sync
sub CHANNEL   subr REGEX   unsub [CHANNEL]   unsubr REGEX   pub CHANNEL MESSAGE
ids   channels   subscribers   global   forwarders   plugins   reload   id
PATH(ARG, NAME=ARG)                        call a function, as a.b.x(1, name='Alice')
h   q
";

struct Cli<'a> {
    remote: Remote,
    txid: Option<String>,
    listener: Option<Listener>,
    out: &'a mut Out,
}

/// `tega cli`; the code that the process ends with.
pub(super) fn cli(typed: &Typed, out: &mut Out) -> Result<u8, Fault> {
    let mut remote = Remote::new(typed)?;
    remote.by = Some(session_id(remote.by.take())?);
    let person = std::io::stdin().is_terminal();
    let mut cli = Cli { remote, txid: None, listener: None, out };
    let mut lines = std::io::stdin().lock().lines();
    let mut code = 0;
    loop {
        prompt(person && cli.out.terminal);
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|error| Fault::error(format!("standard input: {error}")))?;
        let line = line.trim();
        if line == "q" || line == "quit" {
            break;
        }
        let done = cli.command(line, &mut || lines.next().and_then(Result::ok));
        match done.and_then(|()| cli.out.flush()) {
            Ok(()) => {}
            // Nobody reads the answers any more.
            Err(fault) if fault.message.is_empty() => return Ok(fault.exit.code()),
            Err(fault) => {
                note(&fault.message);
                code = if code == 0 { fault.exit.code() } else { code };
            }
        }
    }
    if let Some(listener) = cli.listener {
        listener.finish();
    }
    Ok(if person { 0 } else { code })
}

fn prompt(show: bool) {
    if show {
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(b"tega> ");
        let _ = stdout.flush();
    }
}

impl Cli<'_> {
    /// Does what a line says; `more` gives the lines of a body.
    fn command(&mut self, line: &str, more: &mut dyn FnMut() -> Option<String>) -> Result<(), Fault> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "" => Ok(()),
            "put" | "pute" => self.put(rest, word == "pute", more),
            "get" => self.get(rest, false),
            "geta" => self.get(rest, true),
            "getr" => self.ask(&Route::Select { pattern: rest.into(), read: self.read(false) }),
            "del" => {
                let route = Route::Delete { path: data::node(rest)?, write: self.write() };
                self.change(&route, None)
            }
            "begin" | "cand" | "cancel" | "commit" => self.transaction(word),
            "rollback" => self.rollback(rest),
            "clear" => self.change(&Route::Clear { by: self.remote.by.clone() }, None),
            "ss" => self.change(&Route::Snapshot { history: None }, None),
            "sync" => self.change(&Route::Sync, None),
            "sub" | "subr" | "unsub" | "unsubr" => self.subscribe(word, rest),
            "pub" => self.publish(rest, more),
            "id" => {
                let id = self.remote.by.as_ref().map_or(String::new(), ToString::to_string);
                self.out.line(&id)
            }
            "h" | "help" | "?" => self.out.text(HELP),
            _ => match question(word).filter(|_| rest.is_empty()) {
                Some(route) => self.ask(&route),
                None if line.ends_with(')') => self.call(line),
                None => Err(Fault::usage(format!("unknown command {word:?}; h lists them"))),
            },
        }
    }

    fn read(&self, internal: bool) -> Read {
        Read { internal, txid: self.txid.clone(), ..Read::default() }
    }

    fn write(&self) -> Write {
        Write { by: self.remote.by.clone(), txid: self.txid.clone(), ..Write::default() }
    }

    fn get(&mut self, path: &str, internal: bool) -> Result<(), Fault> {
        self.ask(&Route::Get { path: data::path(path)?, read: self.read(internal) })
    }

    fn ask(&mut self, route: &Route) -> Result<(), Fault> {
        let answer = self.remote.ask(route)?;
        self.show(&answer)
    }

    fn change(&mut self, route: &Route, body: Option<&Value>) -> Result<(), Fault> {
        let answer = self.remote.send_once(route, body)?;
        self.show(&answer)
    }

    /// An answer as YAML; most writes have an empty one.
    fn show(&mut self, answer: &Answer) -> Result<(), Fault> {
        if answer.body.is_empty() {
            return Ok(());
        }
        let value = self.remote.json(answer)?;
        self.out.value(Form::Yaml, &Path::TOP, &value)
    }

    fn put(
        &mut self,
        rest: &str,
        ephemeral: bool,
        more: &mut dyn FnMut() -> Option<String>,
    ) -> Result<(), Fault> {
        let (path, inline) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        // The body is read before anything can fail: its lines are no commands.
        let value = body(inline, more);
        let (path, value) = (data::node(path)?, value?);
        if ephemeral {
            self.listener()?;
        }
        self.change(&Route::Put { path, write: self.write(), ephemeral }, Some(&value))
    }

    fn transaction(&mut self, word: &str) -> Result<(), Fault> {
        if word == "begin" {
            let by = self.remote.by.clone();
            let answer = self.remote.send_once(&Route::Begin { by }, None)?;
            let txid = self.remote.json(&answer)?.get("txid").and_then(Value::as_str).map(String::from);
            self.txid = Some(txid.ok_or_else(|| Fault::error("the answer has no txid"))?);
            return self.show(&answer);
        }
        let txid = self.txid.clone().ok_or_else(|| Fault::error("no transaction; `begin` begins one"))?;
        if word == "cand" {
            return self.change(&Route::Candidate { txid, internal: false }, None);
        }
        // Whatever becomes of it, it is over.
        self.txid = None;
        match word {
            "cancel" => self.change(&Route::Cancel { txid }, None),
            _ => self.change(&Route::Commit { txid, durable: false }, None),
        }
    }

    fn rollback(&mut self, rest: &str) -> Result<(), Fault> {
        let usage = || Fault::usage("rollback ROOT -N");
        let (root, number) = rest.split_once(char::is_whitespace).ok_or_else(usage)?;
        let back_to = number.trim().parse().map_err(|_| usage())?;
        let root = data::node(root)?.root().cloned().ok_or_else(usage)?;
        let by = self.remote.by.clone();
        self.change(&Route::Rollback { by, root, back_to, durable: false }, None)
    }

    /// The session that subscriptions and ephemeral nodes live by, opened when it is first needed.
    fn listener(&mut self) -> Result<&mut Listener, Fault> {
        if self.listener.as_ref().is_none_or(Listener::ended) {
            let id = session_id(self.remote.by.clone())?;
            self.listener = Some(Listener::start(self.remote.target(), id)?);
        }
        self.listener.as_mut().ok_or_else(|| Fault::error("no session"))
    }

    fn subscribe(&mut self, word: &str, rest: &str) -> Result<(), Fault> {
        let regex = word.ends_with('r');
        let end = word.starts_with("un");
        let channel = rest.split_whitespace().next().unwrap_or("");
        if channel.is_empty() && !end {
            return Err(Fault::usage(format!("{word} CHANNEL")));
        }
        let channel = match (regex, channel) {
            (true, _) | (_, "") => channel.to_string(),
            _ => data::node(channel)?.to_string(),
        };
        let listener = self.listener()?;
        if end { listener.unsubscribe(&channel, regex) } else { listener.subscribe(&channel, regex) }
    }

    fn publish(&mut self, rest: &str, more: &mut dyn FnMut() -> Option<String>) -> Result<(), Fault> {
        let (channel, inline) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let said = body(inline, more);
        let (channel, said) = (data::node(channel)?, said?);
        self.listener()?.publish(&channel, &said)
    }

    fn call(&mut self, line: &str) -> Result<(), Fault> {
        let (path, body) = call(line).map_err(Fault::usage)?;
        let result = data::call(&mut self.remote, path, &body)?;
        self.out.value(Form::Yaml, &Path::TOP, &result)
    }
}

/// The questions that are one word.
fn question(word: &str) -> Option<Route> {
    Some(match word {
        "roots" => Route::Roots,
        "old" => Route::Old,
        "ids" => Route::Ids,
        "channels" => Route::Channels,
        "subscribers" => Route::Subscribers,
        "global" => Route::Global,
        "forwarders" => Route::Forwarders,
        "plugins" => Route::Plugins,
        "reload" => Route::Reload,
        _ => return None,
    })
}

/// A YAML body: what stands on the line of the command, or the lines up to an empty one.
fn body(inline: &str, more: &mut dyn FnMut() -> Option<String>) -> Result<Value, Fault> {
    let mut text = inline.trim().to_string();
    if text.is_empty() {
        while let Some(line) = more().filter(|line| !line.trim().is_empty()) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    data::yaml(&text, "the body")
}

/// `a.b.x(1, name='Alice')` as a path and the body of a call. The arguments are Python literals.
fn call(line: &str) -> Result<(Path, Value), String> {
    let inner = line.strip_suffix(')').and_then(|line| line.split_once('('));
    let (path, inner) = inner.ok_or_else(|| format!("{line:?}: PATH(ARGUMENTS) wanted"))?;
    let path = Path::parse(path.trim()).map_err(|error| error.to_string())?;
    let (mut args, mut kwargs) = (Vec::new(), Vec::<(Key, Value)>::new());
    let pieces = pieces(inner);
    for piece in pieces.iter().filter(|piece| pieces.len() > 1 || !piece.trim().is_empty()) {
        let literal = |text: &str| python::read(text.trim()).map_err(|error| error.to_string());
        match piece.split_once('=').filter(|(name, _)| words::identifier(name.trim())) {
            Some((name, text)) => kwargs.push((name.trim().into(), literal(text)?)),
            None => args.push(literal(piece)?),
        }
    }
    Ok((path, words::call_body(args, kwargs)?))
}

/// Splits arguments at the commas that stand outside of strings and brackets.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                pieces.push(text.get(start..at).unwrap_or(""));
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or(""));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_arguments_by_place_and_by_name() {
        for (line, path, json) in [
            ("a.b.x()", "a.b.x", r#"{"args":[],"kwargs":{}}"#),
            ("a.x(1, name='Alice')", "a.x", r#"{"args":[1],"kwargs":{"name":"Alice"}}"#),
            (
                "a.x('a,b', (1, 2), {'k': [True, None]}, s=\"=,)\")",
                "a.x",
                r#"{"args":["a,b",[1,2],{"k":[true,null]}],"kwargs":{"s":"=,)"}}"#,
            ),
            (r"a.x('it\'s, ok')", "a.x", r#"{"args":["it's, ok"],"kwargs":{}}"#),
        ] {
            let (of, body) = call(line).unwrap();
            assert_eq!((of.to_string().as_str(), body.to_string().as_str()), (path, json), "{line}");
        }
        for line in ["a.x(1", "a..x()", "a.x(1,,2)", "a.x(open('f'))", "a.x(k=1, k=2)", "(1)"] {
            assert!(call(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_body_ends_with_an_empty_line() {
        let mut lines = ["a: 1", "b:", "  c: x", "", "get a"].into_iter().map(String::from);
        let value = body("", &mut || lines.next()).unwrap();
        assert_eq!(value.to_string(), r#"{"a":1,"b":{"c":"x"}}"#);
        assert_eq!(lines.next().as_deref(), Some("get a"));
        assert_eq!(body("[1, x]", &mut || None).unwrap().to_string(), r#"[1,"x"]"#);
    }
}
