//! A text in the user's editor.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

/// The longest text that is taken back, in bytes: a value has at most so many.
const MAX_TEXT: u64 = 1 << 20;

/// Lets the user edit a text with `$VISUAL`, `$EDITOR` or `vi`. An error is why there's none; an editor that fails (`:cq`)
/// means that nothing is wanted.
pub(super) fn edit(text: &str, extension: &str) -> Result<String, String> {
    let dir = Scratch::new().map_err(|error| format!("no temporary file can be made: {error}"))?;
    let file = dir.0.join(format!("value.{extension}"));
    write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    // As everybody does: the variable may hold options.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(&file).status();
    match status {
        Err(error) => Err(format!("{program}: {error}; set $EDITOR")),
        Ok(status) if !status.success() => Err(format!("{program} ended with {status}: nothing is changed")),
        Ok(_) => read(&file).map_err(|error| {
            // What was typed is nowhere else.
            dir.keep();
            format!("{}: {error}; the text is still there", file.display())
        }),
    }
}

fn write(file: &FilePath, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())
}

fn read(file: &FilePath) -> std::io::Result<String> {
    if fs::metadata(file)?.len() > MAX_TEXT {
        return Err(std::io::Error::other(format!("more than {MAX_TEXT} bytes")));
    }
    fs::read_to_string(file)
}

/// A directory for one file, which others can't read; it goes with what it holds.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let name = crate::client::http::request_id()?;
        let dir = std::env::temp_dir().join(format!("tega-{name}"));
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Scratch(dir))
    }
}

impl Scratch {
    /// Leaves it where it is.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed stays, readable for its owner only.
        let _ = fs::remove_dir_all(&self.0);
    }
}
