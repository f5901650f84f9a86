//! From checked JSON text to a value, by miniserde's visitor: without recursion, and without its own
//! `Value` type in between.

use miniserde::de::{Deserialize, Map, Seq, Visitor};
use miniserde::{Result, make_place};

use super::{Finite, Key, Object, Value};

make_place!(Place);

pub(super) fn read(text: &str) -> Option<Value> {
    miniserde::json::from_str(text).ok()
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
