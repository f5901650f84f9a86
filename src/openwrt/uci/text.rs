//! What the tool prints: `export`, `show`, and the text that `uci commit` writes.

use super::model::{Content, Package, Section};

impl Package {
    /// What `uci export NAME` prints.
    pub fn export(&self, name: &str) -> Vec<u8> {
        let mut out = format!("package {name}\n").into_bytes();
        for section in &self.sections {
            out.extend_from_slice(b"\nconfig ");
            // The tool escapes quotes in a type, though it doesn't put any around it.
            escape(section.kind.as_bytes(), &mut out);
            rest_of(section, &mut out);
        }
        out.push(b'\n');
        out
    }

    /// The text of a file that says this, as `uci commit` writes it. The tool writes a type like `a'b` so that it can't
    /// be read again; here it has its quotes.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for section in &self.sections {
            out.push(b'\n');
            out.append(&mut section_text(section));
        }
        out.push(b'\n');
        out
    }

    /// What `uci show NAME` prints.
    pub fn show(&self, name: &str) -> Vec<u8> {
        self.shown(name, &self.keys())
    }

    /// What `uci -X show NAME` prints: anonymous sections by the names that the tool makes up.
    pub fn show_generated(&self, name: &str) -> Vec<u8> {
        self.shown(name, &self.generated_names())
    }

    fn shown(&self, name: &str, keys: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        for (section, key) in self.sections.iter().zip(keys) {
            out.extend_from_slice(format!("{name}.{key}={}\n", section.kind).as_bytes());
            for option in &section.options {
                out.extend_from_slice(format!("{name}.{key}.{}=", option.name).as_bytes());
                for (at, value) in option.content.values().iter().enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    quote(value, &mut out);
                }
                out.push(b'\n');
            }
        }
        out
    }
}

/// The lines of one section.
pub(super) fn section_text(section: &Section) -> Vec<u8> {
    let mut out = b"config ".to_vec();
    let kind = section.kind.as_bytes();
    if is_plain(kind) {
        out.extend_from_slice(kind)
    } else {
        quote(kind, &mut out)
    }
    rest_of(section, &mut out);
    out
}

/// Whether a type means itself without quotes.
fn is_plain(kind: &[u8]) -> bool {
    !kind.iter().any(|b| matches!(b, b'\'' | b'"' | b'\\' | b'#' | b';'))
}

/// What follows the type.
fn rest_of(section: &Section, out: &mut Vec<u8>) {
    if let Some(name) = &section.name {
        out.push(b' ');
        quote(name.as_bytes(), out);
    }
    out.push(b'\n');
    for option in &section.options {
        let keyword = match option.content {
            Content::One(_) => "option",
            Content::Many(_) => "list",
        };
        for value in option.content.values() {
            out.extend_from_slice(format!("\t{keyword} {} ", option.name).as_bytes());
            quote(value, out);
            out.push(b'\n');
        }
    }
}

/// A value in single quotes, as the tool writes it: a quote within becomes `'\''`.
///
/// ```
/// assert_eq!(tega::openwrt::uci::quoted(b"it's"), br"'it'\''s'");
/// ```
pub fn quoted(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 2);
    quote(value, &mut out);
    out
}

pub(super) fn quote(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    escape(value, out);
    out.push(b'\'');
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            other => out.push(*other),
        }
    }
}
