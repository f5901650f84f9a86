//! A file's text, changed where what it says is to change.
//!
//! Each section of the text is a *core*, from the comments right above it to its last option, and a *gap* behind it. A
//! section that stays keeps both; one that goes takes its core along and the empty lines behind it, so that comments that
//! stand alone stay. Within a core single words and lines are replaced.
//!
//! What comes out is read again and compared with what was wanted. So no oddity of a text can make it say
//! something else: the worst is that it's written anew.

use std::collections::HashMap;

use super::model::{Content, Opt, Package, Section};
use super::order::{Matching, same, same_package};
use super::text::{quote, section_text};
use super::words::Word;
use super::{File, Kind, Statement};

/// A range of the text, and what to put there.
struct Patch {
    start: usize,
    end: usize,
    text: Vec<u8>,
}

/// The text that says `wanted`; `None`: it can't be had by changing this one.
pub(super) fn changed(old: &File, wanted: &Package) -> Option<Vec<u8>> {
    if same_package(&old.package, wanted) {
        return Some(old.source.clone());
    }
    if old.source.trim_ascii().is_empty() || old.source.contains(&0) {
        return None;
    }
    let matching = Matching::of(&old.package, wanted);
    let found = &matching.found;
    let sections = Sections::of(old);
    let mut patches = Vec::new();
    patches.resize_with(old.package.sections.len(), Vec::new);
    for (want, at) in wanted.sections.iter().zip(found) {
        if let Some(at) = *at {
            patches[at] = sections.patches(at, want)?;
        }
    }
    let in_place = found.iter().copied().eq((0..old.package.sections.len()).map(Some));
    let text = if in_place {
        let patches = patches.into_iter().flatten().collect();
        patched(&old.source, 0, old.source.len(), patches)
    } else {
        rearranged(&sections, wanted, &matching, patches)?
    };
    let read = File::parse(&text).ok()?;
    same_package(&read.package, wanted).then_some(text)
}

/// `source[start..end]` with these patches.
fn patched(source: &[u8], start: usize, end: usize, mut patches: Vec<Patch>) -> Vec<u8> {
    patches.sort_by_key(|patch| (patch.start, patch.end));
    let mut out = Vec::with_capacity(end - start);
    let mut at = start;
    for patch in patches {
        // Statements don't overlap; what two patches of one line would make of it is caught by reading it again.
        out.extend_from_slice(source.get(at..patch.start).unwrap_or_default());
        out.extend_from_slice(&patch.text);
        at = patch.end.max(at);
    }
    out.extend_from_slice(source.get(at..end).unwrap_or_default());
    out
}

/// The statements of each section.
struct Sections<'a> {
    file: &'a File,
    statements: Vec<Vec<&'a Statement>>,
}

impl<'a> Sections<'a> {
    fn of(file: &'a File) -> Sections<'a> {
        let mut statements = vec![Vec::new(); file.package.sections.len()];
        for statement in file.statements.iter().filter(|s| s.kind != Kind::Package) {
            if let Some(section) = statements.get_mut(statement.section as usize) {
                section.push(statement);
            }
        }
        Sections { file, statements }
    }

    /// What to change in section `at` so that it says what `want` does, wherever it stands.
    fn patches(&self, at: usize, want: &Section) -> Option<Vec<Patch>> {
        let have = &self.file.package.sections[at];
        let mut patches = Vec::new();
        if same(have, want) {
            return Some(patches);
        }
        let statements = &self.statements[at];
        if have.kind != want.kind {
            for header in statements.iter().filter(|s| s.kind == Kind::Config) {
                patches.push(self.word(&header.first, want.kind.as_bytes()));
            }
        }
        let mut said: HashMap<&[u8], Vec<&Statement>> = HashMap::new();
        for statement in statements {
            let empty = statement.second.as_ref().is_none_or(|word| word.text.is_empty());
            // An option without a value says nothing.
            if statement.kind == Kind::List || (statement.kind == Kind::Option && !empty) {
                said.entry(&statement.first.text).or_default().push(statement);
            }
        }
        let wanted = want.by_name();
        for option in &have.options {
            let said = said.get(option.name.as_bytes()).map_or(&[][..], Vec::as_slice);
            match wanted.get(option.name.as_str()) {
                Some(new) if **new == option.content => {}
                Some(new) => self.content(said, option, new, &mut patches)?,
                None => self.without(said, &mut patches)?,
            }
        }
        let known = have.by_name();
        let new = want.options.iter().filter(|option| !known.contains_key(option.name.as_str()));
        let new: Vec<&Opt> = new.collect();
        if !new.is_empty() {
            let last = statements.last().filter(|statement| statement.alone)?;
            let lines = new.iter().flat_map(|option| lines_of(&option.name, &option.content));
            patches.push(self.behind(last, self.indent(statements), lines.collect()));
        }
        Some(patches)
    }

    /// Another content for an option that these statements say.
    fn content(&self, said: &[&Statement], old: &Opt, new: &Content, patches: &mut Vec<Patch>) -> Option<()> {
        let all = |kind: Kind| said.iter().all(|statement| statement.kind == kind);
        match (&old.content, new) {
            (Content::One(_), Content::One(value)) if all(Kind::Option) => {
                // The last one counts.
                patches.push(self.value(said.last()?, value));
            }
            (Content::Many(olds), Content::Many(values)) if all(Kind::List) && olds.len() == said.len() => {
                self.list(said, olds, &old.name, values, patches)?;
            }
            _ => {
                let (first, rest) = said.split_first()?;
                let indent = self.indent(&[*first]);
                patches.push(self.behind(first, indent, lines_of(&old.name, new)));
                self.without(std::slice::from_ref(first), patches)?;
                self.without(rest, patches)?;
            }
        }
        Some(())
    }

    /// Other values for a list of which each statement says one: what is equal at both ends stays.
    fn list(
        &self,
        said: &[&Statement],
        olds: &[Vec<u8>],
        name: &str,
        values: &[Vec<u8>],
        patches: &mut Vec<Patch>,
    ) -> Option<()> {
        let head = olds.iter().zip(values).take_while(|(a, b)| a == b).count();
        let (olds, values) = (&olds[head..], &values[head..]);
        let tail = olds.iter().rev().zip(values.iter().rev()).take_while(|(a, b)| a == b).count();
        let (olds, values) = (&olds[..olds.len() - tail], &values[..values.len() - tail]);
        let middle = &said[head..head + olds.len()];
        for (statement, value) in middle.iter().zip(values) {
            patches.push(self.value(statement, value));
        }
        self.without(middle.get(values.len()..).unwrap_or_default(), patches)?;
        if let Some(more) = values.get(olds.len()..).filter(|more| !more.is_empty()) {
            let lines = more.iter().map(|value| line("list", name, value)).collect();
            let behind = (head + olds.len()).checked_sub(1).and_then(|at| said.get(at));
            patches.push(match behind {
                Some(statement) if statement.alone => {
                    self.behind(statement, self.indent(&[*statement]), lines)
                }
                None if said.first()?.alone => self.before(said.first()?, lines),
                _ => return None,
            });
        }
        Some(())
    }

    /// Takes the lines of these statements away.
    fn without(&self, statements: &[&Statement], patches: &mut Vec<Patch>) -> Option<()> {
        for statement in statements {
            let lines = statement.alone.then(|| statement.lines.range())?;
            patches.push(Patch { start: lines.start, end: lines.end, text: Vec::new() });
        }
        Some(())
    }

    /// Another value for one statement.
    fn value(&self, statement: &Statement, value: &[u8]) -> Patch {
        match &statement.second {
            Some(word) => self.word(word, value),
            None => {
                let at = statement.span.range().end;
                let mut text = vec![b' '];
                quote(value, &mut text);
                Patch { start: at, end: at, text }
            }
        }
    }

    /// Another text for one word, quoted as the old one if that can be.
    fn word(&self, word: &Word, value: &[u8]) -> Patch {
        let range = word.span.range();
        let raw = &self.file.source[range.clone()];
        let bare = raw.iter().all(|b| !matches!(b, b'\'' | b'"' | b'\\'));
        let safe = |b: &u8| b.is_ascii_alphanumeric() || b"_./:,@%+=-".contains(b);
        let mut text = Vec::new();
        if bare && !value.is_empty() && value.iter().all(safe) {
            text.extend_from_slice(value);
        } else if raw.first() == Some(&b'"') && !value.contains(&b'"') && !value.contains(&b'\\') {
            text.push(b'"');
            text.extend_from_slice(value);
            text.push(b'"');
        } else {
            quote(value, &mut text);
        }
        Patch { start: range.start, end: range.end, text }
    }

    /// What the last option among these stands behind.
    fn indent(&self, statements: &[&Statement]) -> &[u8] {
        let option = statements.iter().rev().find(|statement| statement.kind != Kind::Config);
        let space = option.map(|s| &self.file.source[s.lines.range().start..s.span.range().start]);
        space.filter(|space| space.iter().all(|b| matches!(b, b' ' | b'\t'))).unwrap_or(b"\t")
    }

    /// How the lines of this statement end; `None`: the last line of the file has no end.
    fn line_end(&self, statement: &Statement) -> Option<&'static [u8]> {
        let lines = &self.file.source[statement.lines.range()];
        match lines {
            [.., b'\r', b'\n'] => Some(b"\r\n"),
            [.., b'\n'] => Some(b"\n"),
            _ => None,
        }
    }

    /// New lines behind those of a statement.
    fn behind(&self, statement: &Statement, indent: &[u8], lines: Vec<Vec<u8>>) -> Patch {
        let at = statement.lines.range().end;
        let end = self.line_end(statement);
        let mut text = Vec::new();
        for line in lines {
            if end.is_none() {
                text.push(b'\n');
            }
            text.extend_from_slice(indent);
            text.extend_from_slice(&line);
            text.extend_from_slice(end.unwrap_or_default());
        }
        Patch { start: at, end: at, text }
    }

    /// New lines before those of a statement.
    fn before(&self, statement: &Statement, lines: Vec<Vec<u8>>) -> Patch {
        let at = statement.lines.range().start;
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(self.indent(&[statement]));
            text.extend_from_slice(&line);
            text.extend_from_slice(self.line_end(statement).unwrap_or(b"\n"));
        }
        Patch { start: at, end: at, text }
    }

    /// Where the core of each section begins and ends; `None` where they aren't separate lines one behind the other.
    fn cores(&self) -> Option<Vec<(usize, usize)>> {
        let mut cores: Vec<(usize, usize)> = Vec::new();
        let mut floor = 0;
        for statement in &self.file.statements {
            let lines = statement.lines.range();
            match statement.kind {
                _ if !statement.alone => return None,
                Kind::Package => {}
                Kind::Config if statement.section as usize == cores.len() => {
                    cores.push((self.comments_above(floor, lines.start), lines.end));
                }
                Kind::Option | Kind::List if statement.section as usize + 1 == cores.len() => {
                    cores.last_mut()?.1 = lines.end;
                }
                _ => return None,
            }
            floor = lines.end;
        }
        Some(cores)
    }

    /// Where the comment lines begin that stand right above `start`, though not above `floor`.
    fn comments_above(&self, floor: usize, start: usize) -> usize {
        let mut at = start;
        while at > floor {
            let above = &self.file.source[floor..at - 1];
            let line = above.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
            if !above[line..].trim_ascii_start().starts_with(b"#") {
                break;
            }
            at = floor + line;
        }
        at
    }
}

/// The sections in their new order: those that stay where they are, with what goes or comes between them.
fn rearranged(
    sections: &Sections<'_>,
    wanted: &Package,
    matching: &Matching,
    patches: Vec<Vec<Patch>>,
) -> Option<Vec<u8>> {
    let source = &sections.file.source;
    let cores = sections.cores()?;
    let mut texts: Vec<Vec<u8>> =
        cores.iter().zip(patches).map(|((start, end), p)| patched(source, *start, *end, p)).collect();
    let mut out = source[..cores.first().map_or(source.len(), |core| core.0)].to_vec();
    // Old sections up to here are done.
    let mut done = 0;
    let mut gaps = |out: &mut Vec<u8>, upto: usize| {
        for at in std::mem::replace(&mut done, upto + 1)..upto {
            out.extend_from_slice(without_empty_lines(gap(source, &cores, at)));
        }
    };
    let mut coming: Vec<Vec<u8>> = Vec::new();
    for (at, want) in wanted.sections.iter().enumerate() {
        match matching.found[at] {
            Some(old) if matching.stays[at] => {
                gaps(&mut out, old);
                for text in coming.drain(..) {
                    put(&mut out, &text);
                    out.push(b'\n');
                }
                // A last line without an end may be followed by something now.
                end_line(&mut out);
                out.append(&mut texts[old]);
                out.extend_from_slice(gap(source, &cores, old));
            }
            Some(old) => coming.push(std::mem::take(&mut texts[old])),
            None => coming.push(section_text(want)),
        }
    }
    gaps(&mut out, cores.len());
    coming.iter().for_each(|text| put(&mut out, text));
    Some(out)
}

/// What stands behind the core of section `at`, up to the next one.
fn gap<'a>(source: &'a [u8], cores: &[(usize, usize)], at: usize) -> &'a [u8] {
    let end = cores.get(at + 1).map_or(source.len(), |core| core.0);
    cores.get(at).and_then(|core| source.get(core.1..end)).unwrap_or_default()
}

/// A gap without the empty lines at its beginning.
fn without_empty_lines(mut gap: &[u8]) -> &[u8] {
    while let Some(end) = gap.iter().position(|b| *b == b'\n') {
        if !gap[..end].trim_ascii().is_empty() {
            break;
        }
        gap = &gap[end + 1..];
    }
    gap
}

/// A section that wasn't here, behind an empty line.
fn put(out: &mut Vec<u8>, text: &[u8]) {
    end_line(out);
    if !out.is_empty() && !out.ends_with(b"\n\n") && !out.ends_with(b"\n\r\n") {
        out.push(b'\n');
    }
    out.extend_from_slice(text);
    end_line(out);
}

fn end_line(out: &mut Vec<u8>) {
    if out.last().is_some_and(|last| *last != b'\n') {
        out.push(b'\n');
    }
}

/// The lines that say an option, without their indent and end.
fn lines_of(name: &str, content: &Content) -> Vec<Vec<u8>> {
    let keyword = match content {
        Content::One(_) => "option",
        Content::Many(_) => "list",
    };
    content.values().iter().map(|value| line(keyword, name, value)).collect()
}

fn line(keyword: &str, name: &str, value: &[u8]) -> Vec<u8> {
    let mut line = format!("{keyword} {name} ").into_bytes();
    quote(value, &mut line);
    line
}
