//! `plugins`: what extends the server.

use super::fault::Fault;
use super::flags::Flag;
use super::parse::Typed;
use super::remote::Remote;
use super::show::{Form, Out, note};
use crate::api::route::Route;
use crate::path::Path;
use crate::value::Value;
use crate::words::plugins::{HEADING, cells};

/// `tega plugins`
pub(super) fn plugins(typed: &Typed, out: &mut Out) -> Result<(), Fault> {
    let mut remote = Remote::new(typed)?;
    if typed.has(Flag::Reload) {
        remote.ask(&Route::Reload)?;
    }
    let plugins = remote.ask_json(&Route::Plugins)?;
    if typed.has(Flag::Json) {
        return out.value(Form::Json, &Path::TOP, &plugins);
    }
    if out.terminal && plugins.as_object().is_some_and(|plugins| plugins.members().is_empty()) {
        note(
            "no plugins: the server was started without --plugins, or its directories have none; its log tells what was passed over",
        );
    }
    out.table(&rows(&plugins))
}

/// The heading, and a line for each plugin.
fn rows(plugins: &Value) -> Vec<Vec<String>> {
    let all = plugins.as_object().map_or(&[][..], |plugins| plugins.members());
    let lines = all.iter().map(|(name, plugin)| cells(name, plugin).to_vec());
    std::iter::once(HEADING.map(String::from).to_vec()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_a_line_and_so_is_what_is_not_used() {
        let plugins = Value::parse(
            r#"{"bad":{"state":"refused","refused":"others may write it"},
                "dns":{"state":"loaded","path":"x.dns","methods":{},"subscribe":["config-r1.dns"],"running":1,"waiting":0,
                       "calls":0,"notifies":7,"failures":2,"busy":0,"last_ms":12,"mean_ms":9,"max_ms":40,
                       "error":{"message":"dns notify: exit status: 1","ago_s":3725},"problem":null},
                "sys":{"state":"loaded","path":"operational-r1.rpc.sys","methods":{"a":{},"b":{}},"subscribe":[],
                       "running":0,"waiting":3,"calls":5,"notifies":0,"failures":0,"busy":0,"last_ms":1,"mean_ms":1,
                       "max_ms":2,"error":null,"problem":null}}"#,
        );
        let rows: Vec<String> = rows(&plugins.unwrap()).iter().map(|row| row.join("|")).collect();
        assert_eq!(
            rows,
            [
                "NAME|STATE|CALLS|NOTIFIED|FAILED|RUNS|WAIT|LAST|MEAN|MAX|WHERE|WHAT",
                "bad|refused|-|-|-|-|-|-|-|-|-|others may write it",
                "dns|loaded|0|7|2|1|0|12ms|9ms|40ms|-|1h2m ago: dns notify: exit status: 1",
                "sys|loaded|5|0|0|0|3|1ms|1ms|2ms|operational-r1.rpc.sys|a b",
            ]
        );
    }
}
