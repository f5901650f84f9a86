//! Arrows point down: which folder of `src` may use which others. The table is the architecture; a new edge is a
//! decision, taken here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A module and what it may use of the crate, itself apart. Lower layers first: nobody uses what stands below it here.
const LAYERS: &[(&str, &[&str])] = &[
    ("system", &[]),
    ("path", &[]),
    ("value", &["path"]),
    ("yaml", &["path", "value"]),
    ("words", &["path", "value"]),
    ("migrate", &["path", "value"]),
    ("commit", &["path", "value"]),
    ("tree", &["path", "value"]),
    ("token", &["commit", "path", "value"]),
    ("log", &[]),
    ("store", &["commit", "log", "path", "system", "tree", "value"]),
    ("api", &["commit", "path", "store", "token", "value"]),
    ("message", &["api", "commit", "path", "store", "tree", "value"]),
    ("read", &["api", "commit", "path", "store", "system", "token", "tree", "value"]),
    ("hub", &["api", "commit", "message", "path", "read", "store", "system", "token", "tree", "value"]),
    ("session", &["api", "commit", "hub", "message", "path", "read", "store", "system", "token", "value"]),
    (
        "http",
        &["api", "commit", "hub", "message", "path", "read", "store", "system", "token", "tree", "value"],
    ),
    ("door", &["api", "http", "path", "system", "token", "value"]),
    ("client", &["api", "commit", "message", "path", "value"]),
    ("link", &["api", "client", "commit", "hub", "message", "path", "store", "token", "tree", "value"]),
    ("plugin", &["api", "commit", "hub", "path", "read", "store", "system", "token", "value", "words"]),
    ("openwrt", &["api", "commit", "hub", "message", "path", "store", "system", "tree", "value", "words"]),
    (
        "daemon",
        &[
            "commit", "door", "http", "hub", "link", "openwrt", "plugin", "session", "store", "system",
            "token", "words",
        ],
    ),
    ("tui", &["api", "client", "commit", "message", "openwrt", "path", "store", "value", "words"]),
    (
        "cli",
        &[
            "api", "client", "commit", "daemon", "link", "log", "message", "migrate", "openwrt", "path",
            "plugin", "store", "system", "token", "tree", "tui", "value", "words", "yaml",
        ],
    ),
];

#[test]
fn modules_use_only_the_layers_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut edges: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut modules = Vec::new();
    for entry in fs::read_dir(&source).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_stem().unwrap().to_string_lossy().into_owned();
        if folder.is_dir() {
            collect(&folder, &name, &mut edges);
            modules.push(name);
        }
    }
    let mut faults = Vec::new();
    for ((from, to), place) in &edges {
        let allowed = LAYERS.iter().find(|(name, _)| name == from).map(|(_, uses)| *uses);
        if from != to && modules.contains(to) && !allowed.unwrap_or_default().contains(&to.as_str()) {
            faults.push(format!("{from} uses {to}: {place}"));
        }
    }
    for (from, uses) in LAYERS {
        let below = LAYERS.iter().map(|(name, _)| name).take_while(|name| *name != from).collect::<Vec<_>>();
        let up = uses.iter().filter(|to| !below.contains(to));
        faults.extend(up.map(|to| format!("{from} uses {to}, which stands above it")));
    }
    for module in &modules {
        assert!(LAYERS.iter().any(|(name, _)| name == module), "src/{module} has no place in the table");
    }
    // An arrow that nobody needs any more goes from the table too.
    for (from, uses) in LAYERS {
        for to in *uses {
            if !edges.contains_key(&((*from).to_string(), (*to).to_string())) {
                faults.push(format!("{from} doesn't use {to} any more: take it out of the table"));
            }
        }
    }
    assert!(faults.is_empty(), "the arrows between modules changed:\n{}", faults.join("\n"));
}

/// Every `crate::MODULE` outside of tests, with the first place where it stands.
fn collect(folder: &Path, module: &str, edges: &mut BTreeMap<(String, String), String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, module, edges);
            }
            continue;
        }
        if !name.ends_with(".rs") || name.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Tests stand last in a file.
        let tests = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(crate) mod "];
        let inline = |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{'));
        let end = tests.iter().filter_map(|start| text.find(start)).filter(inline).min();
        let code = &text[..end.unwrap_or(text.len())];
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for part in line.split("crate::").skip(1) {
                let word = |text: &str| {
                    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
                };
                let used: Vec<String> = match part.strip_prefix('{') {
                    Some(list) => list.split(',').map(|item| word(item.trim())).collect(),
                    None => vec![word(part)],
                };
                for to in used {
                    let place = format!("{}:{}", path.display(), number + 1);
                    edges.entry((module.to_string(), to)).or_insert(place);
                }
            }
        }
    }
}
