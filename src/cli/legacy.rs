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
            lexopt::Arg::Short(c @ ('H' | 'P' | 'C' | 'O')) => {
                return Err(Fault::usage(format!(
                    "-{c}: the link to a global server isn't built into this version yet"
                )));
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(words(&["help", "serve"])),
            // Today's options work under the old name too.
            lexopt::Arg::Long(name) => {
                let name = format!("--{name}");
                let takes =
                    super::flags::FLAGS.iter().any(|row| name[2..] == *row.name && row.value.is_some());
                line.push(name);
                if takes {
                    line.push(value(&mut parser)?);
                }
                continue;
            }
            other => return Err(said(other.unexpected())),
        };
        line.push(option.to_string());
        let text = value(&mut parser)?;
        line.push(if option == "--log-level" { level(&text) } else { text });
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
        let host = host.unwrap_or_else(|| "127.0.0.1".into());
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let port = port.unwrap_or_else(|| crate::client::DEFAULT_PORT.to_string());
        url = Some(format!("http://{host}:{port}"));
    }
    for (option, value) in [("--url", url), ("--id", id)] {
        line.extend(value.into_iter().flat_map(|value| [option.to_string(), value]));
    }
    Ok(line.into_iter().map(OsString::from).collect())
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn value(parser: &mut lexopt::Parser) -> Result<String, Fault> {
    let value = parser.value().map_err(said)?;
    value.into_string().map_err(|word| Fault::usage(format!("{word:?} isn't UTF-8")))
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
        ] {
            assert_eq!(joined(server(&words_of(old))).as_deref(), Ok(new), "{old}");
        }
        let line = joined(server(&words_of("-d /d -p 8740"))).unwrap();
        assert!(line.starts_with("serve --data /d --listen 127.0.0.1:8740"), "{line}");
    }

    #[test]
    fn what_is_not_built_yet_says_so() {
        for old in ["-H h -P 1", "-P 1", "-C a", "-O b"] {
            assert!(joined(server(&words_of(old))).unwrap_err().contains("isn't built"), "{old}");
        }
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
