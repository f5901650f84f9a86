//! Which section of a file is which section of a wanted package, and which of them can stay where they are.

use std::collections::{HashMap, VecDeque};

use super::model::{Content, Opt, Package, Section};

/// How many options of anonymous sections of one type are compared. Beyond it the sections are taken in their order.
const MOST_COMPARED: usize = 200_000;

/// How the sections of a package are those of an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// For each section the older one that it was, if any. None is given twice.
    pub found: Vec<Option<usize>>,
    /// For each section whether it was there and stands where it stood, others having moved around it.
    pub stays: Vec<bool>,
}

impl Matching {
    /// How `new` comes from `old`: by names, and by content where there's no name.
    pub fn of(old: &Package, new: &Package) -> Matching {
        let found = matched(old, new);
        let stays = staying(&found);
        Matching { found, stays }
    }
}

/// For each section of `wanted` the one of `old` that it is, if any. No old one is given twice.
///
/// A name says it. Those without a name are the same where their content is; of the others of one type, those that
/// have most in common, where an option `name` counts for more than all else, as it names a firewall rule.
fn matched(old: &Package, wanted: &Package) -> Vec<Option<usize>> {
    let mut found = vec![None; wanted.sections.len()];
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut same: HashMap<Said<'_>, VecDeque<usize>> = HashMap::new();
    for (at, section) in old.sections.iter().enumerate() {
        match &section.name {
            Some(name) => _ = names.insert(name, at),
            None => same.entry(said(section)).or_default().push_back(at),
        }
    }
    let mut rest: HashMap<&str, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for (at, section) in wanted.sections.iter().enumerate() {
        found[at] = match &section.name {
            Some(name) => names.get(name.as_str()).copied(),
            None => same.get_mut(&said(section)).and_then(VecDeque::pop_front),
        };
        if section.name.is_none() && found[at].is_none() {
            rest.entry(&section.kind).or_default().1.push(at);
        }
    }
    for at in same.into_values().flatten() {
        if let Some((olds, _)) = old.sections.get(at).and_then(|section| rest.get_mut(section.kind.as_str()))
        {
            olds.push(at);
        }
    }
    for (mut olds, wants) in rest.into_values() {
        olds.sort_unstable();
        alike(old, wanted, olds, &wants, &mut found);
    }
    found
}

/// What a section says, in whatever order.
type Said<'a> = (&'a str, Vec<(&'a str, bool, &'a [Vec<u8>])>);

fn said(section: &Section) -> Said<'_> {
    let options = section.options.iter();
    let mut options: Vec<_> = options
        .map(|o| (o.name.as_str(), matches!(o.content, Content::Many(_)), o.content.values()))
        .collect();
    options.sort_unstable();
    (&section.kind, options)
}

/// Whether two sections say the same. The order of options says nothing.
pub(super) fn same(a: &Section, b: &Section) -> bool {
    a.name == b.name && said(a) == said(b)
}

/// Whether two packages say the same.
pub(super) fn same_package(a: &Package, b: &Package) -> bool {
    a.sections.len() == b.sections.len() && a.sections.iter().zip(&b.sections).all(|(a, b)| same(a, b))
}

/// Pairs sections of one type, each with the one left that has most in common with it.
fn alike(
    old: &Package,
    wanted: &Package,
    mut olds: Vec<usize>,
    wants: &[usize],
    found: &mut [Option<usize>],
) {
    let options: usize = olds.iter().map(|at| 1 + old.sections[*at].options.len()).sum();
    if options.saturating_mul(wants.len()) > MOST_COMPARED {
        for (want, old) in wants.iter().zip(olds) {
            found[*want] = Some(old);
        }
        return;
    }
    for want in wants {
        let section = &wanted.sections[*want];
        // The last one left is the one that's left, whatever they have in common.
        if let ([want], [old]) = (wants, olds.as_slice()) {
            found[*want] = Some(*old);
            return;
        }
        let wanted = section.by_name();
        let scored = olds.iter().enumerate().map(|(at, o)| (likeness(&old.sections[*o], &wanted), at));
        // Of those alike the first one: `max_by_key` would take the last.
        let best = scored.rev().max_by_key(|(score, _)| *score).filter(|(score, _)| *score > 0);
        if let Some((_, at)) = best {
            found[*want] = Some(olds.remove(at));
        }
    }
}

fn likeness(a: &Section, b: &HashMap<&str, &Content>) -> usize {
    let one = |option: &Opt| match b.get(option.name.as_str()) {
        Some(other) if **other == option.content && option.name == "name" => 1000,
        Some(other) if **other == option.content => 2,
        Some(_) => 1,
        None => 0,
    };
    a.options.iter().map(one).sum()
}

/// Which of these places, at most, can stay in their order when the others move around them: a longest ascending
/// subsequence.
fn staying(places: &[Option<usize>]) -> Vec<bool> {
    // For each length, where the subsequence of that length ends which has the lowest end.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; places.len()];
    for (at, place) in places.iter().enumerate() {
        let Some(place) = *place else { continue };
        let length = ends.partition_point(|(end, _)| *end < place);
        before[at] = length.checked_sub(1).and_then(|n| ends.get(n)).map(|(_, at)| *at);
        match ends.get_mut(length) {
            Some(end) => *end = (place, at),
            None => ends.push((place, at)),
        }
    }
    let mut stay = vec![false; places.len()];
    let mut at = ends.last().map(|(_, at)| *at);
    while let Some(here) = at {
        stay[here] = true;
        at = before[here];
    }
    stay
}
