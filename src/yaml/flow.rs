//! What may stand inside a line: flow maps and lists, and the choice between them and the scalars.

use super::Value;
use super::read::{Fault, Members, Read, Reader, fault};
use super::scalar::Atom;

impl Reader<'_> {
    /// Reads one flow map, flow list, quoted or plain scalar of a block that is indented by `parent`.
    pub(super) fn atom(&mut self, parent: isize, depth: usize) -> Read<Atom> {
        self.any_atom(Some(parent), depth)
    }

    /// `parent` is none inside a flow map or list, where indentation means nothing.
    fn any_atom(&mut self, parent: Option<isize>, depth: usize) -> Read<Atom> {
        match self.peek() {
            b'[' => self.flow_list(depth).map(Atom::Tree),
            b'{' => self.flow_map(depth).map(Atom::Tree),
            b'"' => self.double_quoted(parent.unwrap_or(-1)).map(Atom::Quoted),
            b'\'' => self.single_quoted(parent.unwrap_or(-1)).map(Atom::Quoted),
            _ => self.plain(parent).map(Atom::Plain),
        }
    }

    fn flow_skip(&mut self, open: usize) -> Read<u8> {
        loop {
            self.skip_blanks();
            self.skip_comment();
            if self.at == self.text.len() || self.marker() {
                let bracket = if self.text.as_bytes()[open] == b'[' { "[" } else { "{" };
                return fault(open, format!("this \"{bracket}\" isn't closed"));
            }
            if self.peek() != b'\n' {
                return Ok(self.peek());
            }
            self.at += 1;
        }
    }

    /// Whether the place is at the `:` after a key.
    fn flow_colon(&self, key: &Atom) -> bool {
        let free = self.blank_ahead(1) || matches!(self.ahead(1), b',' | b'[' | b']' | b'{' | b'}');
        self.peek() == b':' && (free || matches!(key, Atom::Quoted(_)))
    }

    fn flow_list(&mut self, depth: usize) -> Read<Value> {
        Self::check_depth(depth, self.at)?;
        let open = self.at;
        self.at += 1;
        let mut items = Vec::new();
        while self.flow_skip(open)? != b']' {
            let place = self.at;
            let atom = self.any_atom(None, depth + 1)?;
            self.flow_skip(open)?;
            items.push(if self.flow_colon(&atom) {
                if self.text[place..self.at].contains('\n') {
                    return fault(place, "a key in a flow list must stand on one line with its \":\"");
                }
                let key = atom.key(place)?;
                Self::check_depth(depth + 1, place)?;
                let mut pair = Members::default();
                pair.insert(key, self.flow_value(open, depth + 2)?);
                pair.finish(place)?
            } else {
                atom.value(place)?
            });
            self.flow_comma(open, b']')?;
        }
        self.at += 1;
        Value::list(items).map_err(|error| Fault { at: open, message: error.to_string().into() })
    }

    fn flow_map(&mut self, depth: usize) -> Read<Value> {
        Self::check_depth(depth, self.at)?;
        let open = self.at;
        self.at += 1;
        let mut members = Members::default();
        while self.flow_skip(open)? != b'}' {
            let place = self.at;
            let atom = self.any_atom(None, depth + 1)?;
            self.flow_skip(open)?;
            let colon = self.flow_colon(&atom);
            let key = atom.key(place)?;
            members.check(&key, place)?;
            let value = if colon { self.flow_value(open, depth + 1)? } else { Value::Null };
            members.insert(key, value);
            self.flow_comma(open, b'}')?;
        }
        self.at += 1;
        members.finish(open)
    }

    /// Reads the value after a `:`, which may be missing.
    fn flow_value(&mut self, open: usize, depth: usize) -> Read<Value> {
        self.at += 1;
        if matches!(self.flow_skip(open)?, b',' | b']' | b'}') {
            return Ok(Value::Null);
        }
        let place = self.at;
        self.any_atom(None, depth)?.value(place)
    }

    fn flow_comma(&mut self, open: usize, close: u8) -> Read<()> {
        match self.flow_skip(open)? {
            b',' => self.at += 1,
            next if next == close => {}
            _ if close == b']' => return fault(self.at, "\",\" or \"]\" expected"),
            _ => return fault(self.at, "\",\" or \"}\" expected"),
        }
        Ok(())
    }
}
