//! What holds for every UCI file, whatever bytes it has. The fuzzer and the random tests both call this.

use tega::openwrt::check;
use tega::openwrt::package::{self, Reason, Rendered, Wanted};
use tega::openwrt::secret::{self, Secrets};
use tega::openwrt::uci::{File, MAX_FILE, Package, Piece, Unfit};
use tega::path::Path;
use tega::value::Value;

/// Reading never panics, and what was read can be written, printed, put into the tree and got back.
pub(crate) fn of_a_file(bytes: &[u8]) {
    let Ok(file) = File::parse(bytes) else { return };
    let piece = |piece: Piece<'_>| match piece {
        Piece::Between(text) | Piece::Statement(text) => text.to_vec(),
    };
    assert_eq!(file.pieces().flat_map(piece).collect::<Vec<u8>>(), bytes, "the pieces are the file");
    let package = file.package();
    assert_eq!(file.changed_to(package), bytes, "no change changes nothing");
    exported(&file);
    check::packages(["network", "wireless", "firewall", "dhcp"].map(|name| (name, package.clone())));
    if let Err(unfit) = package.check() {
        // Quotes make a text longer.
        assert_eq!(unfit, Unfit::Size, "what was read can be written");
        return;
    }
    // What is written here and below can be read: `unwrap` says it when it can't.
    let text = package.text();
    assert_eq!(File::parse(&text).unwrap().package(), package);
    if let Ok(value) = package::read(&file) {
        in_the_tree(&file, &value);
    }
}

/// `export` of what `export` printed prints the same; but a type with quotes is printed without any, as by the tool.
fn exported(file: &File) {
    let plain = |kind: &str| !kind.contains(['\'', '"', '\\', '#', ';']);
    if !file.package().sections.iter().all(|section| plain(&section.kind)) {
        return;
    }
    let export = file.export("t");
    if export.len() <= MAX_FILE {
        let again = File::parse(&export).unwrap();
        assert_eq!(again.package(), file.package());
        assert_eq!(again.export("t"), export);
        assert_eq!(again.show("t"), file.show("t"));
    }
}

fn in_the_tree(file: &File, value: &Value) {
    assert_eq!(package::render(Some(file), value), Ok(Rendered::Same), "taking it in changes nothing");
    assert_eq!(package::normal(value).as_ref(), Ok(value));
    assert_eq!(package::changes(Some(value), Some(value)), Ok(Vec::new()));
    secret::hide(&Path::new(["r", "uci", "t"]).unwrap(), value);
    match package::render(None, value) {
        Ok(Rendered::Write(bytes)) => {
            let again = File::parse(&bytes).unwrap();
            assert_eq!(package::read(&again).as_ref(), Ok(value));
        }
        other => assert!(matches!(&other, Err(e) if matches!(e.reason, Reason::Control(_))), "{other:?}"),
    }
}

/// The text of one file, changed to say what another does, says just that.
pub(crate) fn of_two_files(old: &[u8], new: &[u8]) {
    let (Ok(old), Ok(new)) = (File::parse(old), File::parse(new)) else { return };
    if new.package().check().is_err() {
        return;
    }
    let bytes = old.changed_to(new.package());
    if bytes.len() <= MAX_FILE {
        let changed = File::parse(&bytes).unwrap();
        assert_eq!(sorted(changed.package()), sorted(new.package()));
    }
    if let Ok(value) = package::read(&new) {
        becomes(&old, &value);
        let before = package::read(&old).ok();
        let changes = package::changes(before.as_ref(), Some(&value)).unwrap();
        let same = before.as_ref().is_some_and(|before| *before == value);
        assert!(!same || changes.is_empty());
        changes.iter().for_each(|change| _ = change.line("t", &Secrets::default()));
    }
}

/// The file that a value renders to reads as the normal form of that value.
pub(crate) fn becomes(old: &File, value: &Value) {
    let bytes = match package::render(Some(old), value) {
        Ok(Rendered::Write(bytes)) if bytes.len() <= MAX_FILE => bytes,
        Ok(Rendered::Same) => old.bytes().to_vec(),
        _ => return,
    };
    let Ok(Wanted::Package(_)) = package::wanted(value) else { return };
    let file = File::parse(&bytes).unwrap();
    assert_eq!(package::read(&file), package::normal(value));
    assert_eq!(package::render(Some(&file), value), Ok(Rendered::Same), "once is enough");
}

/// The order of options says nothing.
fn sorted(package: &Package) -> Package {
    let mut package = package.clone();
    for section in &mut package.sections {
        section.options.sort_by(|a, b| a.name.cmp(&b.name));
    }
    package
}
