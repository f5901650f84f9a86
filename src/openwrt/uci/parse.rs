//! From words to what they say. The tool's `uci_parse_line` and what it calls, for one file in strict mode.

use std::collections::HashMap;

use super::error::{Error, Reason};
use super::model::{Content, Opt, Package, Section, generated_name, is_name, is_package_name, is_type};
use super::words::{Reader, Word};
use super::{File, Kind, MAX_FILE, MAX_SECTIONS, MAX_STATEMENTS, Span, Statement};

pub(super) fn parse(source: &[u8]) -> Result<File, Error> {
    let mut reader = Reader::new(source);
    if source.len() > MAX_FILE {
        return Err(reader.error(Reason::FileSize));
    }
    let mut parser = Parser::default();
    while let Some(start) = reader.next_line()? {
        let first = parser.statements.len();
        reader.skip_space();
        while let Some(kind_and_place) = keyword(&mut reader)? {
            parser.statement(&mut reader, kind_and_place)?;
        }
        let lines = Span { start: start as u32, end: reader.position() as u32 };
        let line = parser.statements.get_mut(first..).unwrap_or_default();
        let alone = line.len() == 1;
        for statement in line {
            (statement.lines, statement.alone) = (lines, alone);
        }
    }
    Ok(File { source: source.to_vec(), statements: parser.statements, package: parser.package })
}

/// The keyword that is next, if one is.
fn keyword(reader: &mut Reader<'_>) -> Result<Option<(Kind, Span)>, Error> {
    let kind = match reader.keyword() {
        None => return Ok(None),
        Some((word, span)) => match word {
            [b'#', ..] => return Ok(None),
            b"p" | b"package" => Some((Kind::Package, span)),
            b"c" | b"config" => Some((Kind::Config, span)),
            b"o" | b"option" => Some((Kind::Option, span)),
            b"l" | b"list" => Some((Kind::List, span)),
            _ => None,
        },
    };
    kind.map(Some).ok_or_else(|| reader.error(Reason::Command))
}

#[derive(Default)]
struct Parser {
    statements: Vec<Statement>,
    package: Package,
    /// The section of each name, the names included that the tool makes up: a later section of that name is meant to be
    /// the same one.
    sections: HashMap<String, usize>,
    /// Where in its section an option is.
    options: HashMap<(usize, String), usize>,
    /// The section that options belong to now.
    open: Option<usize>,
}

impl Parser {
    fn statement(&mut self, reader: &mut Reader<'_>, (kind, place): (Kind, Span)) -> Result<(), Error> {
        let list_or_option = matches!(kind, Kind::Option | Kind::List);
        if list_or_option && self.open.is_none() {
            return Err(reader.error(Reason::NoSection));
        }
        if !reader.skip_keyword() {
            let keyword = match kind {
                Kind::Package => "package",
                Kind::Config => "config",
                Kind::Option | Kind::List => "option",
            };
            return Err(reader.error(Reason::Bare(keyword)));
        }
        let first = reader.word()?.filter(|word| !word.text.is_empty());
        let first = first.ok_or_else(|| reader.error(Reason::Insufficient))?;
        let named = text(&first);
        let second = match kind {
            Kind::Package => {
                named.filter(|n| is_package_name(n)).ok_or_else(|| reader.error(Reason::Name))?;
                None
            }
            Kind::Config => {
                named.filter(|n| is_type(n)).ok_or_else(|| reader.error(Reason::Type))?;
                let name = reader.word()?;
                let bad = |word: &Word| !word.text.is_empty() && !text(word).is_some_and(is_name);
                if name.as_ref().is_some_and(bad) {
                    return Err(reader.error(Reason::Name));
                }
                name
            }
            Kind::Option | Kind::List => {
                named.filter(|n| is_name(n)).ok_or_else(|| reader.error(Reason::Name))?;
                reader.word()?
            }
        };
        reader.skip_space();
        if reader.word()?.is_some_and(|word| !word.text.is_empty()) {
            return Err(reader.error(Reason::TooMany));
        }
        if self.statements.len() == MAX_STATEMENTS {
            return Err(reader.error(Reason::Statements));
        }
        // What `text` refused is refused above.
        let named = text(&first).unwrap_or_default();
        let value = second.as_ref().map_or(&b""[..], |word| &word.text);
        match kind {
            Kind::Package => {}
            Kind::Config => self.section(named, value, reader)?,
            Kind::Option => self.option(named, value),
            Kind::List => self.item(named, value),
        }
        let end = second.as_ref().unwrap_or(&first).span.end;
        self.statements.push(Statement {
            kind,
            span: Span { start: place.start, end },
            lines: place,
            section: self.open.unwrap_or(0) as u32,
            first,
            second,
            alone: false,
        });
        Ok(())
    }

    /// Opens a section: a new one, or the first of this name.
    fn section(&mut self, kind: &str, name: &[u8], reader: &Reader<'_>) -> Result<(), Error> {
        let name = std::str::from_utf8(name).unwrap_or_default();
        if let Some(known) = self.sections.get(name) {
            if self.package.sections.get(*known).is_some_and(|section| section.kind != kind) {
                return Err(reader.error(Reason::OtherType));
            }
            self.open = Some(*known);
            return Ok(());
        }
        let at = self.package.sections.len();
        if at == MAX_SECTIONS {
            return Err(reader.error(Reason::Sections));
        }
        let anonymous = name.is_empty();
        let known = if anonymous { generated_name(at + 1, kind) } else { name.to_string() };
        self.sections.entry(known).or_insert(at);
        let name = (!anonymous).then(|| name.to_string());
        self.package.sections.push(Section { name, kind: kind.to_string(), options: Vec::new() });
        self.open = Some(at);
        Ok(())
    }

    /// The option of this name in the open section, made with `new` where it isn't there yet.
    fn place(&mut self, name: &str, new: impl FnOnce() -> Content) -> Option<(&mut Content, bool)> {
        let open = self.open?;
        let options = &mut self.package.sections.get_mut(open)?.options;
        let count = options.len();
        let at = *self.options.entry((open, name.to_string())).or_insert(count);
        if at == count {
            options.push(Opt { name: name.to_string(), content: new() });
        }
        Some((&mut options.get_mut(at)?.content, at == count))
    }

    /// The last one counts, in the place of the first. Without a value it says nothing: what was there stays.
    fn option(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let one = || Content::One(value.to_vec());
        if let Some((content, false)) = self.place(name, one) {
            *content = one();
        }
    }

    /// One more value; what was an option becomes a list.
    fn item(&mut self, name: &str, value: &[u8]) {
        let item = || value.to_vec();
        if let Some((content, false)) = self.place(name, || Content::Many(vec![item()])) {
            match content {
                Content::Many(items) => items.push(item()),
                Content::One(first) => *content = Content::Many(vec![std::mem::take(first), item()]),
            }
        }
    }
}

fn text(word: &Word) -> Option<&str> {
    std::str::from_utf8(&word.text).ok()
}
