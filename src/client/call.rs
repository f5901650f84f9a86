//! A call of a function that a session serves: what was called, by whom, with which arguments.

use crate::path::Path;
use crate::value::Value;

/// A call, to be answered by [`Session::answer`](super::live::Session::answer): the caller waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What the answer refers to.
    pub seq: u32,
    /// Who calls; `None`: somebody without a tega ID.
    pub caller: Option<String>,
    /// The leaf that was called.
    pub path: Path,
    /// `{"args":[…],"kwargs":{…}}`, as the caller wrote it: nothing of it is checked.
    pub body: Value,
}

impl Call {
    /// An argument: the one of this name, else the one in this place, from 0.
    ///
    /// ```
    /// use tega::{client::Call, value::Value};
    /// let body = Value::parse(r#"{"args":["192.168.1.1"],"kwargs":{"count":2}}"#)?;
    /// let call = Call { seq: 1, caller: None, path: "rpc.ping".parse()?, body };
    /// assert_eq!(call.argument(0, "host").and_then(Value::as_str), Some("192.168.1.1"));
    /// assert_eq!(call.argument(1, "count").and_then(Value::as_int), Some(2));
    /// assert_eq!(call.argument(2, "size"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn argument(&self, place: usize, name: &str) -> Option<&Value> {
        let named = self.body.get("kwargs").and_then(|kwargs| kwargs.get(name));
        let args = self.body.get("args").and_then(Value::as_list);
        named.or_else(|| args.and_then(|args| args.items().get(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(body: &str) -> Call {
        let body = Value::parse(body).unwrap();
        Call { seq: 7, caller: Some("alice".into()), path: Path::parse("rpc.f").unwrap(), body }
    }

    #[test]
    fn an_argument_is_found_by_its_name_or_by_its_place() {
        let both = call(r#"{"args":[1,2],"kwargs":{"b":3}}"#);
        let shown = |place, name| both.argument(place, name).map(ToString::to_string);
        assert_eq!(shown(0, "a").as_deref(), Some("1"));
        assert_eq!(shown(1, "b").as_deref(), Some("3"), "a name counts more than a place");
        assert_eq!(shown(2, "c"), None);
    }

    #[test]
    fn a_body_of_another_form_has_no_arguments() {
        for body in ["null", "[]", "{}", r#"{"args":{"a":1},"kwargs":[1]}"#, r#"{"args":null}"#] {
            assert_eq!(call(body).argument(0, "a"), None, "{body}");
        }
    }
}
