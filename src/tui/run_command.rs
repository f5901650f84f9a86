//! Runs a verb of the command line as a process of its own, with the same server and token. So what a command prints, and how
//! it fails, is what it prints in a shell, and a command that hangs is ended without harm to the screen.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ask::Failed;
use super::net::Who;
use crate::value::Value;

/// The longest output that is taken of each stream, in bytes.
const MAX_OUTPUT: u64 = 512 << 10;

/// How long a command may take.
const TIME: Duration = Duration::from_secs(60);

/// Runs it: `{"exit":0,"out":"…","err":"…"}`.
pub(super) fn run(who: &Who, words: &[String]) -> Result<Value, Failed> {
    let program =
        std::env::current_exe().map_err(|error| Failed::NotReached(format!("this program: {error}")))?;
    run_program(Command::new(program), who, words, TIME)
}

fn run_program(mut command: Command, who: &Who, words: &[String], time: Duration) -> Result<Value, Failed> {
    // What stands behind "--" is no option, whatever it looks like.
    let mut options = words.iter().take_while(|word| *word != "--");
    let is_elsewhere = options.any(|word| word == "--url" || word.starts_with("--url="));
    let (verb, rest) = words.split_at(words.len().min(1));
    command.args(verb).env_remove("TEGA_TOKEN");
    // The token is for this server only.
    if !is_elsewhere {
        command.envs(who.server.environment());
        if who.server.token.is_some() && !who.server.target.stays_here() {
            // That this is accepted was said when the screen was opened.
            command.arg("--insecure-link");
        }
    }
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| Failed::NotReached(error.to_string()))?;
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let exit = wait(&mut child, time);
    let text =
        |reader: Option<JoinHandle<String>>| reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let (out, mut err) = (text(out), text(err));
    if exit.is_none() {
        err.push_str(&format!("tega: it took longer than {} s and was ended\n", time.as_secs()));
    }
    let exit = exit.flatten().map_or(Value::Null, |code| Value::from(i64::from(code)));
    let members =
        vec![("exit".into(), exit), ("out".into(), Value::from(out)), ("err".into(), Value::from(err))];
    Value::object(members).map_err(|error| Failed::NotReached(error.to_string()))
}

/// Reads what comes, up to the limit. Then the pipe is closed, which a command takes for the end of its reader.
fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is shown.
        let _ = (&mut stream).take(MAX_OUTPUT).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Its exit code, where it has one; `None`: it was ended for taking too long.
fn wait(child: &mut Child, time: Duration) -> Option<Option<i32>> {
    let deadline = Instant::now() + time;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.code()),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                // It may have ended by itself just now.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Bearer, Server};
    use crate::commit::TegaId;

    fn who(token: Option<&str>) -> Who {
        let id = |text| TegaId::new(text).unwrap();
        let token = token.map(|token| Bearer::new(token).unwrap());
        let server = Server { target: "http://10.9.0.1:8739".parse().unwrap(), token };
        Who { server, by: id("a"), watcher: id("b") }
    }

    fn shell(who: &Who, script: &str, more: &[&str], time: Duration) -> Value {
        let mut sh = Command::new("/bin/sh");
        sh.args(["-c", script, "sh"]);
        let words: Vec<String> = more.iter().map(|word| word.to_string()).collect();
        run_program(sh, who, &words, time).unwrap()
    }

    #[test]
    fn what_a_command_prints_and_how_it_ends_is_told() {
        let told = shell(&who(None), "echo out; echo err >&2; exit 3", &[], TIME);
        assert_eq!(told.to_string(), r#"{"err":"err\n","exit":3,"out":"out\n"}"#);
    }

    #[test]
    fn a_command_gets_the_server_and_the_token_but_the_token_for_no_other_server() {
        let script = "echo $TEGA_URL $TEGA_TOKEN $@";
        let out = |told: Value| told.get("out").unwrap().as_str().unwrap().to_string();
        let told = out(shell(&who(Some("tega_x")), script, &["put", "a", "--", "--url=b"], TIME));
        assert_eq!(told, "http://10.9.0.1:8739 tega_x put --insecure-link a -- --url=b\n");
        let told = out(shell(&who(Some("tega_x")), script, &["--url", "http://evil"], TIME));
        assert!(!told.contains("tega_x"), "{told}");
    }

    #[test]
    fn a_command_that_hangs_or_floods_is_ended() {
        let told = shell(&who(None), "exec sleep 100", &[], Duration::from_millis(100));
        assert_eq!(told.get("exit"), Some(&Value::Null));
        let told = shell(&who(None), "exec cat /dev/zero", &[], Duration::from_secs(10));
        assert_eq!(told.get("out").unwrap().as_str().unwrap().len() as u64, MAX_OUTPUT);
    }
}
