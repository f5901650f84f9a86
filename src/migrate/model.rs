//! A small model of the original's roots, which follows a log to find out what each rollback led to and which
//! versions our store will give. It knows the original's two readings of a log and says where they part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::records::{Op, Rollback, Step};
use super::{Import, ImportedBase, ImportedCommit, ImportedOp, ImportedRollback, MigrateError};
use crate::path::{Key, Path};
use crate::value::{Object, Value};

/// How many old versions of a root the original keeps, whatever it was told.
const KEPT: usize = 10;

/// Follows the steps in the reading that was asked for, and in the other one for the differences.
pub(super) fn follow(steps: &[Step], as_restarted: bool, import: &mut Import) -> Result<(), MigrateError> {
    let mut taken = Model::new(steps, as_restarted);
    let file = || import.file.clone();
    taken.follow(steps).map_err(|(line, message)| MigrateError::Line { file: file(), line, message })?;
    let mut other = Model::new(steps, !as_restarted);
    let mut differences = Vec::new();
    if let Err((line, message)) = other.follow(steps) {
        differences.push((line, format!("the other reading ends here: {message}")));
    }
    compare(steps, &taken, &other, &mut differences);
    differences.sort_by_key(|(line, _)| *line);

    let name = import.file.display().to_string();
    let at = |(line, message): (usize, String)| format!("{name}:{line}: {message}");
    import.differences.extend(differences.into_iter().map(at));
    import.warnings.extend(taken.warnings.into_iter().map(at));
    import.bases = taken.bases;
    import.commits = taken.commits;
    Ok(())
}

/// Lists the records that the two readings of a log take differently.
fn compare(steps: &[Step], taken: &Model, other: &Model, differences: &mut Vec<(usize, String)>) {
    let as_restarted = taken.as_restarted;
    let (logged, restarted) = if as_restarted { (other, taken) } else { (taken, other) };
    differences.extend(logged.deleted.iter().map(|(line, path)| match as_restarted {
        false => (*line, format!("DELETE {path}: applied; the original ignored it when it restarted")),
        true => (*line, format!("DELETE {path}: ignored, as the original did when it restarted")),
    }));
    differences.extend(restarted.revived.iter().map(|(line, path)| match as_restarted {
        false => (
            *line,
            format!("{path}: of an unfinished commit, dropped; the original added it to the next one"),
        ),
        true => {
            (*line, format!("{path}: of an unfinished commit, added to the next one as the original did"))
        }
    }));
    for (line, state) in &taken.rollbacks {
        if other.rollbacks.get(line).is_some_and(|other| other != state) {
            differences.push((*line, "this rollback leads to another state in the other reading".into()));
        }
    }
    for step in steps {
        if let Step::Rollback(Rollback { line, backto: 1.., .. }) = step {
            differences.push((*line, "the original failed to restart at this record".into()));
        }
    }
}

/// A node: a leaf, or a container with children. A leaf has none.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    leaf: Option<Value>,
    children: BTreeMap<Key, Arc<Node>>,
}

impl Node {
    fn of(value: &Value) -> Arc<Node> {
        Arc::new(match value {
            Value::Object(object) => {
                let children =
                    object.members().iter().map(|(key, value)| (key.clone(), Node::of(value))).collect();
                Node { leaf: None, children }
            }
            leaf => Node { leaf: Some(leaf.clone()), children: BTreeMap::new() },
        })
    }

    fn to_value(&self) -> Result<Value, String> {
        if let Some(leaf) = &self.leaf {
            return Ok(leaf.clone());
        }
        let members = self.children.iter().map(|(key, child)| Ok((key.clone(), child.to_value()?)));
        Object::new(members.collect::<Result<_, String>>()?).map(Value::Object).map_err(|e| e.to_string())
    }

    fn is_empty_container(&self) -> bool {
        self.leaf.is_none() && self.children.is_empty()
    }
}

#[derive(Default)]
struct Root {
    /// In our numbering; none before the root's first commit.
    version: Option<u64>,
    /// None: it was deleted.
    tree: Option<Arc<Node>>,
    /// What the original keeps of it, oldest first, with our version numbers.
    kept: VecDeque<(u64, Arc<Node>)>,
    /// Whether a rollback of this root is to come. Without one, old states needn't be kept or copied.
    rolls_back: bool,
}

struct Model {
    as_restarted: bool,
    roots: BTreeMap<Key, Root>,
    bases: Vec<ImportedBase>,
    commits: Vec<ImportedCommit>,
    warnings: Vec<(usize, String)>,
    /// DELETEs that removed something.
    deleted: Vec<(usize, Path)>,
    /// Records of unfinished commits that were added to the next one.
    revived: Vec<(usize, Path)>,
    rollbacks: BTreeMap<usize, Arc<Node>>,
}

type Follow<T> = Result<T, (usize, String)>;

impl Model {
    fn new(steps: &[Step], as_restarted: bool) -> Model {
        let mut roots: BTreeMap<Key, Root> = BTreeMap::new();
        for step in steps {
            if let Step::Rollback(rollback) = step {
                roots.entry(rollback.root.clone()).or_default().rolls_back = true;
            }
        }
        Model {
            as_restarted,
            roots,
            bases: Vec::new(),
            commits: Vec::new(),
            warnings: Vec::new(),
            deleted: Vec::new(),
            revived: Vec::new(),
            rollbacks: BTreeMap::new(),
        }
    }

    fn follow(&mut self, steps: &[Step]) -> Follow<()> {
        for step in steps {
            match step {
                Step::Base(line, base) => self.base(*line, base)?,
                Step::Commit { time_ms, ops, stale } => self.commit(*time_ms, ops, *stale),
                Step::Rollback(rollback) => self.rollback(rollback)?,
            }
        }
        Ok(())
    }

    fn base(&mut self, line: usize, base: &ImportedBase) -> Follow<()> {
        let root = self.roots.entry(base.root.clone()).or_default();
        if root.version.is_some() {
            return Err((line, format!("a second snapshot of {} or one after its commits", base.root)));
        }
        root.version = Some(base.version);
        root.tree = Some(Node::of(&base.value));
        self.bases.push(base.clone());
        Ok(())
    }

    fn commit(&mut self, time_ms: Option<u64>, ops: &[Op], stale: usize) {
        let mut touched = BTreeSet::new();
        let mut done = Vec::new();
        let mut tega_id = None;
        for (i, op) in ops.iter().enumerate() {
            if i < stale {
                if !self.as_restarted || op.value.is_none() {
                    continue;
                }
                self.revived.push((op.line, op.path.clone()));
            }
            let before = done.len();
            self.apply(op, &mut touched, &mut done);
            if done.len() > before {
                tega_id = tega_id.or_else(|| op.tega_id.clone());
            }
        }
        if done.is_empty() {
            return;
        }
        let versions = touched.into_iter().map(|name| {
            let root = self.roots.entry(Key::clone(&name)).or_default();
            root.version = Some(root.version.map_or(0, |version| version + 1));
            (name, root.version.unwrap_or(0))
        });
        let versions = versions.collect();
        self.commits.push(ImportedCommit { time_ms, tega_id, ops: done, rollback: None, versions });
    }

    /// Applies one operation, and adds what our store has to do for it to `done`.
    fn apply(&mut self, op: &Op, touched: &mut BTreeSet<Key>, done: &mut Vec<ImportedOp>) {
        let Some(name) = op.path.root() else { return };
        if op.value.is_none() && self.as_restarted {
            return;
        }
        let root = self.roots.entry(name.clone()).or_default();
        if op.value.is_none() && !root.tree.as_ref().is_some_and(|tree| exists(tree, &op.path)) {
            self.warnings.push((op.line, format!("DELETE {}: nothing is there; passed over", op.path)));
            return;
        }
        if touched.insert(name.clone())
            && root.rolls_back
            && let (Some(version), Some(tree)) = (root.version, &root.tree)
        {
            root.kept.push_back((version, tree.clone()));
            if root.kept.len() > KEPT {
                root.kept.pop_front();
            }
        }
        let path = op.path.clone();
        let Some(value) = &op.value else {
            match (&mut root.tree, &path.keys()[1..]) {
                (Some(tree), below @ [_, ..]) => remove(&mut Arc::make_mut(tree).children, below),
                (tree, _) => *tree = None,
            }
            self.deleted.push((op.line, path.clone()));
            return done.push(ImportedOp::Delete { path });
        };
        if let Some(leaf) = put(&mut root.tree, &path, value) {
            self.warnings
                .push((op.line, format!("PUT {path}: goes through the leaf {leaf}, which it replaces")));
            done.push(ImportedOp::Delete { path: leaf });
        }
        done.push(ImportedOp::Put { path, value: value.clone() });
    }

    fn rollback(&mut self, rollback: &Rollback) -> Follow<()> {
        let Rollback { line, backto, tega_id, root: name } = rollback;
        let fail = |message: String| (*line, message);
        let root = self.roots.entry(name.clone()).or_default();
        let (Some(version), Some(tree)) = (root.version, root.tree.clone()) else {
            return Err(fail(format!("a rollback of {name}, which doesn't exist here")));
        };
        let held = root.kept.len();
        // A negative number counts back; a positive one is an index into what is kept.
        let target = if *backto < 0 {
            usize::try_from(backto.unsigned_abs()).ok().and_then(|by| held.checked_sub(by))
        } else {
            usize::try_from(*backto).ok().filter(|index| (1..held).contains(index))
        };
        let Some(target) = target else {
            return Err(fail(format!(
                "a rollback of {name} to {backto}, and the log holds {held} versions to go back to"
            )));
        };
        let Some((to, state)) = root.kept.get(target).cloned() else { return Ok(()) };
        root.kept.truncate(target);
        let mut ops = Vec::new();
        let path = Path::from_checked(vec![name.clone()]);
        diff(&path, &tree, &state, &mut ops).map_err(fail)?;
        root.version = Some(version + 1);
        root.tree = Some(state.clone());
        self.rollbacks.insert(*line, state);
        self.commits.push(ImportedCommit {
            time_ms: None,
            tega_id: tega_id.clone(),
            ops,
            rollback: Some(ImportedRollback { root: name.clone(), to }),
            versions: vec![(name.clone(), version + 1)],
        });
        Ok(())
    }
}

fn exists(tree: &Arc<Node>, path: &Path) -> bool {
    path.keys().iter().skip(1).try_fold(tree, |node, key| node.children.get(key)).is_some()
}

/// Puts a value and makes its parents; gives the leaf that stood in the way, if one did.
fn put(tree: &mut Option<Arc<Node>>, path: &Path, value: &Value) -> Option<Path> {
    let below = path.keys().get(1..).unwrap_or_default();
    let Some((last, between)) = below.split_last() else {
        *tree = Some(Node::of(value));
        return None;
    };
    let mut replaced = None;
    let mut node = Arc::make_mut(tree.get_or_insert_default());
    for (i, key) in between.iter().enumerate() {
        node = Arc::make_mut(node.children.entry(key.clone()).or_default());
        if node.leaf.take().is_some() {
            replaced = Some(path.prefix(i + 2));
        }
    }
    node.children.insert(last.clone(), Node::of(value));
    replaced
}

/// Removes a node that exists, and each parent that it leaves empty.
fn remove(children: &mut BTreeMap<Key, Arc<Node>>, keys: &[Key]) {
    let Some((key, below)) = keys.split_first() else { return };
    let emptied = match children.get_mut(key) {
        Some(child) if !below.is_empty() => {
            let child = Arc::make_mut(child);
            remove(&mut child.children, below);
            child.is_empty_container()
        }
        _ => true,
    };
    if emptied {
        children.remove(key);
    }
}

/// The operations that lead from one container to another: PUTs first, so that no DELETE empties what stays.
fn diff(path: &Path, from: &Arc<Node>, to: &Arc<Node>, ops: &mut Vec<ImportedOp>) -> Result<(), String> {
    let mut deletes = Vec::new();
    changes(path, from, to, ops, &mut deletes)?;
    ops.append(&mut deletes);
    Ok(())
}

fn changes(
    path: &Path,
    from: &Arc<Node>,
    to: &Arc<Node>,
    puts: &mut Vec<ImportedOp>,
    deletes: &mut Vec<ImportedOp>,
) -> Result<(), String> {
    if Arc::ptr_eq(from, to) {
        return Ok(());
    }
    for key in from.children.keys().filter(|key| !to.children.contains_key(*key)) {
        deletes.push(ImportedOp::Delete { path: path.join(key.clone()).map_err(|e| e.to_string())? });
    }
    for (key, new) in &to.children {
        let below = path.join(key.clone()).map_err(|e| e.to_string())?;
        match from.children.get(key) {
            Some(old) if old == new => {}
            // A container that ends up empty would go with its last child: it is put as a whole.
            Some(old) if old.leaf.is_none() && new.leaf.is_none() && !new.children.is_empty() => {
                changes(&below, old, new, puts, deletes)?;
            }
            _ => puts.push(ImportedOp::Put { path: below, value: new.to_value()? }),
        }
    }
    Ok(())
}
