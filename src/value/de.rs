//! From checked JSON text to a value, by miniserde's visitor: without recursion, and without its own
//! `Value` type in between.
//!
//! Scalars, and the outermost object, are made right from what the scan found: most messages are a flat object
//! of scalars, and for those the visitor's boxes cost more than all the rest of reading them.

use miniserde::de::{Deserialize, Map, Seq, Visitor};
use miniserde::{Result, make_place};

use super::scan::Member;
use super::{Finite, Key, Object, Value};

make_place!(Place);

/// The value of a text that the scan passed, with the members that it found.
pub(super) fn read(text: &str, members: Vec<Member<'_>>) -> Option<Value> {
    if members.is_empty() {
        return value(text);
    }
    let member = |member: Member<'_>| Some((Key::new(member.key), value(member.value)?));
    let members = members.into_iter().map(member).collect::<Option<Vec<_>>>()?;
    Object::new(members).ok().map(Value::Object)
}

fn value(text: &str) -> Option<Value> {
    let text = text.trim_ascii();
    scalar(text).or_else(|| visit(text))
}

/// A value by miniserde.
pub(super) fn visit(text: &str) -> Option<Value> {
    miniserde::json::from_str(text).ok()
}

/// A scalar; `None` for a string with escapes, which is the visitor's.
fn scalar(text: &str) -> Option<Value> {
    match text.as_bytes().first()? {
        b'"' => {
            let inside = text.get(1..text.len() - 1)?;
            (!inside.contains('\\')).then(|| Value::from(inside))
        }
        b'n' => Some(Value::Null),
        b't' => Some(Value::Bool(true)),
        b'f' => Some(Value::Bool(false)),
        b'[' | b'{' => None,
        _ if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) => {
            Some(Value::Float(Finite::new(text.parse().ok()?)?))
        }
        b'-' => text.parse().ok().map(Value::Int),
        _ => text.parse().ok().map(|int: u64| Value::from(int)),
    }
}

impl Deserialize for Value {
    fn begin(out: &mut Option<Self>) -> &mut dyn Visitor {
        Place::new(out)
    }
}

impl Visitor for Place<Value> {
    fn null(&mut self) -> Result<()> {
        self.out = Some(Value::Null);
        Ok(())
    }

    fn boolean(&mut self, bool: bool) -> Result<()> {
        self.out = Some(Value::Bool(bool));
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<()> {
        self.out = Some(Value::from(text));
        Ok(())
    }

    fn negative(&mut self, int: i64) -> Result<()> {
        self.out = Some(Value::Int(int));
        Ok(())
    }

    fn nonnegative(&mut self, int: u64) -> Result<()> {
        self.out = Some(Value::from(int));
        Ok(())
    }

    fn float(&mut self, float: f64) -> Result<()> {
        self.out = Some(Value::Float(Finite::new(float).ok_or(miniserde::Error)?));
        Ok(())
    }

    fn seq(&mut self) -> Result<Box<dyn Seq + '_>> {
        Ok(Box::new(ListBuilder { items: Vec::new(), next: None, out: &mut self.out }))
    }

    fn map(&mut self) -> Result<Box<dyn Map + '_>> {
        Ok(Box::new(ObjectBuilder { members: Vec::new(), key: None, next: None, out: &mut self.out }))
    }
}

struct ListBuilder<'a> {
    items: Vec<Value>,
    next: Option<Value>,
    out: &'a mut Option<Value>,
}

impl Seq for ListBuilder<'_> {
    fn element(&mut self) -> Result<&mut dyn Visitor> {
        self.items.extend(self.next.take());
        Ok(Deserialize::begin(&mut self.next))
    }

    fn finish(&mut self) -> Result<()> {
        self.items.extend(self.next.take());
        *self.out = Some(Value::list(std::mem::take(&mut self.items)).map_err(|_| miniserde::Error)?);
        Ok(())
    }
}

struct ObjectBuilder<'a> {
    members: Vec<(Key, Value)>,
    key: Option<Key>,
    next: Option<Value>,
    out: &'a mut Option<Value>,
}

impl ObjectBuilder<'_> {
    fn shift(&mut self) {
        self.members.extend(self.key.take().zip(self.next.take()));
    }
}

impl Map for ObjectBuilder<'_> {
    fn key(&mut self, key: &str) -> Result<&mut dyn Visitor> {
        self.shift();
        self.key = Some(key.into());
        Ok(Deserialize::begin(&mut self.next))
    }

    fn finish(&mut self) -> Result<()> {
        self.shift();
        let object = Object::new(std::mem::take(&mut self.members)).map_err(|_| miniserde::Error)?;
        *self.out = Some(Value::Object(object));
        Ok(())
    }
}
