//! The options of `tega-server` and `tega-cli`, so that start scripts of the original go on working when the names are
//! symbolic links to this program. They are rewritten into today's command line.

use std::ffi::OsString;

use super::fault::Fault;
use super::show::note;

/// `tega-server`'s options as those of `tega serve`.
pub(super) fn server(args: &[OsString]) -> Result<Vec<OsString>, Fault> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut line = vec!["serve".to_string()];
    let mut port = None;
    let (mut global_host, mut global_port) = (None, None);
    while let Some(arg) = parser.next().map_err(said)? {
        let option = match arg {
            lexopt::Arg::Short('d') | lexopt::Arg::Long("datadir" | "data-dir" | "data") => "--data",
            lexopt::Arg::Short('t') | lexopt::Arg::Long("tegaid" | "tega-id" | "id") => "--id",
            lexopt::Arg::Short('l') | lexopt::Arg::Long("maxlen" | "history") => "--history",
            lexopt::Arg::Short('e') | lexopt::Arg::Long("extensions" | "plugins") => "--plugins",
            lexopt::Arg::Short('L') | lexopt::Arg::Long("loglevel" | "log-level") => "--log-level",
            lexopt::Arg::Short('p') | lexopt::Arg::Long("port") => {
                let text = value(&mut parser)?;
                let number: Result<u16, _> = text.parse();
                port = Some(number.map_err(|_| Fault::usage(format!("-p {text}: a port wanted")))?);
                continue;
            }
            lexopt::Arg::Short('H') => {
                global_host = Some(value(&mut parser)?);
                continue;
            }
            lexopt::Arg::Short('P') => {
                global_port = Some(value(&mut parser)?);
                continue;
            }
            lexopt::Arg::Short(c @ ('C' | 'O')) => {
                line.push(if c == 'C' { "--config" } else { "--operational" }.into());
                line.extend(values(&mut parser)?);
                continue;
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(words(&["help", "serve"])),
            // Today's options work under the old name too.
            lexopt::Arg::Long(name) => {
                let name = format!("--{name}");
                let takes =
                    super::flags::FLAGS.iter().find(|row| name[2..] == *row.name).and_then(|row| row.value);
                line.push(name);
                match takes {
                    Some(what) if what.ends_with('…') => line.extend(values(&mut parser)?),
                    Some(_) => line.push(value(&mut parser)?),
                    None => {}
                }
                continue;
            }
            other => return Err(said(other.unexpected())),
        };
        line.push(option.to_string());
        let text = value(&mut parser)?;
        line.push(if option == "--log-level" { level(&text) } else { text });
    }
    if global_host.is_some() || global_port.is_some() {
        let url = url("ws", global_host, global_port);
        line.extend(["--global".to_string(), url]);
    }
    // The original took a write to any root; one that nobody declared stayed where it was made.
    let has = |line: &[String], option: &str| line.iter().any(|word| word == option);
    if has(&line, "--global") && !has(&line, "--private") {
        line.extend(["--private".to_string(), "*".to_string()]);
    }
    if let Some(port) = port {
        note(&format!(
            "-p {port}: listening on loopback only, where the original listened everywhere; \
             `tega serve --listen 0.0.0.0:{port} --insecure` does that"
        ));
        for listen in super::serve::loopback(port) {
            // Only IPv4 is certain to be there; the option can't say "if there is one".
            if !listen.optional || has_ipv6() {
                line.extend(["--listen".to_string(), listen.address.to_string()]);
            }
        }
    }
    Ok(line.into_iter().map(OsString::from).collect())
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

/// Python's names of the levels.
fn level(word: &str) -> String {
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "warning" => "warn".into(),
        "critical" => "error".into(),
        "notset" => "trace".into(),
        _ => word,
    }
}

/// `tega-cli`'s options as those of `tega cli`.
pub(super) fn cli(args: &[OsString]) -> Result<Vec<OsString>, Fault> {
    let mut parser = lexopt::Parser::from_args(args);
    let (mut host, mut port, mut id, mut url) = (None, None, None, None);
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            lexopt::Arg::Short('a') | lexopt::Arg::Long("address") => host = Some(value(&mut parser)?),
            lexopt::Arg::Short('p') | lexopt::Arg::Long("port") => port = Some(value(&mut parser)?),
            lexopt::Arg::Short('t') | lexopt::Arg::Long("tegaid" | "tega-id" | "id") => {
                id = Some(value(&mut parser)?)
            }
            lexopt::Arg::Long("url") => url = Some(value(&mut parser)?),
            lexopt::Arg::Short('s') => {
                return Err(Fault::usage("-s: this option of the original's isn't supported; leave it out"));
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(words(&["help", "cli"])),
            other => return Err(said(other.unexpected())),
        }
    }
    let mut line = vec!["cli".to_string()];
    if host.is_some() || port.is_some() {
        url = Some(self::url("http", host, port));
    }
    for (option, value) in [("--url", url), ("--id", id)] {
        line.extend(value.into_iter().flat_map(|value| [option.to_string(), value]));
    }
    Ok(line.into_iter().map(OsString::from).collect())
}

/// A URL of what was given, with the original's defaults for the rest.
fn url(scheme: &str, host: Option<String>, port: Option<String>) -> String {
    let host = host.unwrap_or_else(|| "127.0.0.1".into());
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let port = port.unwrap_or_else(|| crate::client::DEFAULT_PORT.to_string());
    format!("{scheme}://{host}:{port}")
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn value(parser: &mut lexopt::Parser) -> Result<String, Fault> {
    let value = parser.value().map_err(said)?;
    value.into_string().map_err(|word| Fault::usage(format!("{word:?} isn't UTF-8")))
}

fn values(parser: &mut lexopt::Parser) -> Result<Vec<String>, Fault> {
    let utf8 =
        |word: OsString| word.into_string().map_err(|word| Fault::usage(format!("{word:?} isn't UTF-8")));
    parser.values().map_err(said)?.map(utf8).collect()
}

fn said(error: lexopt::Error) -> Fault {
    Fault::usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn joined(line: Result<Vec<OsString>, Fault>) -> Result<String, String> {
        line.map(|words| words.join(" ".as_ref()).into_string().unwrap()).map_err(|fault| fault.message)
    }

    #[test]
    fn start_scripts_of_the_original_go_on_working() {
        for (old, new) in [
            ("-t global -d /d", "serve --id global --data /d"),
            ("-l 20 -L DEBUG", "serve --history 20 --log-level debug"),
            ("-L WARNING", "serve --log-level warn"),
            ("-e plugins --insecure --socket none", "serve --plugins plugins --insecure --socket none"),
            ("-h", "help serve"),
            (
                "-t local1 -d /d -H host -P 8740 -C a b -O c",
                "serve --id local1 --data /d --config a b --operational c --global ws://host:8740 --private *",
            ),
            ("-H ::1 -O c", "serve --operational c --global ws://[::1]:8739 --private *"),
            ("-P 1 --private a b", "serve --private a b --global ws://127.0.0.1:1"),
        ] {
            assert_eq!(joined(server(&words_of(old))).as_deref(), Ok(new), "{old}");
        }
        let line = joined(server(&words_of("-d /d -p 8740"))).unwrap();
        assert!(line.starts_with("serve --data /d --listen 127.0.0.1:8740"), "{line}");
    }

    #[test]
    fn what_the_original_did_not_take_is_refused() {
        assert!(joined(server(&words_of("-p x"))).is_err());
        assert!(joined(server(&words_of("-x"))).is_err());
    }

    #[test]
    fn the_address_of_tega_cli_becomes_a_url() {
        for (old, new) in [
            ("", "cli"),
            ("-a r1 -t me", "cli --url http://r1:8739 --id me"),
            ("-p 1", "cli --url http://127.0.0.1:1"),
            ("-a ::1 -p 1", "cli --url http://[::1]:1"),
        ] {
            assert_eq!(joined(cli(&words_of(old))).as_deref(), Ok(new), "{old}");
        }
        assert!(joined(cli(&words_of("-s"))).is_err());
    }
}
