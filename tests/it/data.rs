//! Real configurations: every router's file loads, reads back equal, and survives kills, restarts, compaction, more
//! changes and rollback.

use std::fs;
use std::path::{Path, PathBuf};

use tega::value::Value;

use crate::server::{Server, ok};
use crate::wire::{Http, json};

/// A file and the root that it becomes.
struct File {
    path: PathBuf,
    root: String,
    value: Value,
}

/// All JSON files below `TEGA_SHARED/data`; none where that isn't here.
fn files() -> Vec<File> {
    let Some(shared) = std::env::var_os("TEGA_SHARED") else {
        eprintln!("TEGA_SHARED is unset: real configurations passed over");
        return Vec::new();
    };
    let mut files = Vec::new();
    gather(&Path::new(&shared).join("data"), &mut files);
    assert!(files.len() > 100, "{} files in {shared:?}", files.len());
    files
}

fn gather(dir: &Path, into: &mut Vec<File>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let value = json(&fs::read_to_string(&path).unwrap());
            let root = path.file_stem().unwrap().to_str().unwrap().to_string();
            into.push(File { path, root, value });
        }
    }
}

/// What the server has at each root is what the file says, to the byte of the canonical encoding.
fn check(server: &Server, files: &[File], when: &str) {
    let mut http = Http::unix(server);
    for File { root, value, .. } in files {
        let got = http.call(&format!("GET /{root}"), &[], b"").unwrap();
        assert_eq!(got.status, 200, "{root} {when}");
        assert!(got.text() == value.to_string(), "{root} reads back different {when}");
    }
}

/// One more commit to each root.
fn change(server: &Server, files: &[File], line: &str, body: &[u8]) {
    let mut http = Http::unix(server);
    for File { root, .. } in files {
        let answer = http.call(&line.replace("ROOT", root), &[], body).unwrap();
        assert_eq!(answer.status, 200, "{root}: {}", answer.text());
    }
}

#[test]
fn real_configurations_survive_kills_compaction_and_rollback() {
    let files = files();
    if files.is_empty() {
        return;
    }
    let mut server = Server::start();
    let mut args = vec!["import"];
    args.extend(files.iter().map(|file| file.path.to_str().unwrap()));
    ok(&server, &args, "");
    check(&server, &files, "after the import");

    server.kill();
    server.restart();
    check(&server, &files, "after a kill");

    ok(&server, &["snapshot"], "");
    change(&server, &files, "PUT /ROOT/more/below", b"[1,{\"two\":null}]");
    server.kill();
    server.restart();
    let more = Http::unix(&server).call(&format!("GET /{}/more/below", files[0].root), &[], b"").unwrap();
    assert_eq!(more.text(), "[1,{\"two\":null}]");

    change(&server, &files, "POST /_rollback?root_oid=ROOT&backto=-1", b"");
    check(&server, &files, "after a rollback");
    assert!(server.stop().success());
    server.restart();
    ok(&server, &["snapshot"], "");
    check(&server, &files, "after a restart and another snapshot");

    // What was rolled back is still there as a version, through compaction and restart.
    let old = Http::unix(&server).call(&format!("GET /{}/more?version=1", files[0].root), &[], b"").unwrap();
    assert_eq!((old.status, old.text()), (200, "{\"below\":[1,{\"two\":null}]}"));
}

#[test]
fn real_configurations_survive_each_form_of_export() {
    let files = files();
    if files.is_empty() {
        return;
    }
    let (server, again) = (Server::start(), Server::start());
    // One of each size: the smallest, the largest and some between.
    let mut files = files;
    files.sort_by_key(|file| file.value.to_string().len());
    let few: Vec<&File> = files.iter().step_by(25).chain(files.last()).collect();
    for file in few {
        ok(&server, &["import", file.path.to_str().unwrap()], "");
        let path = format!("/{}", file.root);
        for form in ["--json", "--yaml", "--flat"] {
            let text = ok(&server, &["export", &path, form, "--secrets"], "");
            match form {
                "--flat" => ok(&again, &["import", form, "-"], &text),
                _ => ok(&again, &["import", form, &path, "-"], &text),
            };
            let got = ok(&again, &["get", &path, "--json"], "");
            assert!(got.trim_end() == file.value.to_string(), "{} differs through {form}", file.root);
            ok(&again, &["del", &path], "");
        }
    }
}
