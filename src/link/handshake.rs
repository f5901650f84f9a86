//! Who may follow and serve what: the two frames that a link begins with, and the record of homes behind them.

use super::{Books, Closing, Code};
use crate::commit::TegaId;
use crate::message::link::body::{Standings, agreed};
use crate::message::link::{Hello, PROTOCOL, Refused, Welcome};
use crate::path::Key;
use crate::store::{Away, Home};

/// Homes to be recorded.
pub(super) type Homes = Vec<(Key, Option<Away>)>;

/// What the global makes of a HELLO.
pub(super) struct Judged {
    /// To be recorded before it's answered.
    pub(super) homes: Homes,
    /// The answer.
    pub(super) welcome: Welcome,
    /// What is sent to the local, and what it has of that.
    pub(super) sends: Standings,
    /// What is taken from it.
    pub(super) follows: Vec<Key>,
}

/// What the local makes of a WELCOME.
pub(super) struct Agreed {
    /// To be recorded.
    pub(super) homes: Homes,
    /// What is sent to the global, and what it has of that.
    pub(super) sends: Standings,
    /// What is taken from it, with what it hands over.
    pub(super) follows: Vec<Key>,
    /// What was refused.
    pub(super) refused: Vec<Refused>,
}

/// What a local begins with.
pub(super) fn hello(follow: &[Key], serve: &[Key], books: &dyn Books) -> Hello {
    let standings = |roots: &[Key]| {
        let mut all: Standings = roots.iter().map(|root| (root.clone(), books.standing(root))).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|a, b| a.0 == b.0);
        all
    };
    Hello { protocol: PROTOCOL, follow: standings(follow), serve: standings(serve) }
}

fn home_elsewhere(root: &Key, home: Option<TegaId>) -> Refused {
    let reason = match &home {
        Some(home) => format!("the home of {root} is {home}; `tega home` at the global moves it"),
        None => format!("{root} has no home here"),
    };
    Refused { root: root.clone(), reason, home }
}

/// Judges what `peer` wants. `denied`: the roots that its token doesn't allow.
pub(super) fn judge(
    own: &TegaId,
    peer: &TegaId,
    hello: Hello,
    denied: Vec<Refused>,
    books: &dyn Books,
) -> Judged {
    let welcome = Welcome { protocol: agreed(hello.protocol), refused: denied, ..Welcome::default() };
    let mut judged = Judged { homes: Vec::new(), welcome, sends: Vec::new(), follows: Vec::new() };
    let denied: Vec<Key> = judged.welcome.refused.iter().map(|it| it.root.clone()).collect();
    for (root, standing) in hello.follow.into_iter().filter(|(root, _)| !denied.contains(root)) {
        match books.home(&root) {
            Some(Home::Here) => judged.sends.push((root, standing)),
            Some(Home::Away(Some(home))) if home == *peer => {
                let reason =
                    format!("{root} was moved to {peer}; it must serve it, with --operational {root}");
                judged.welcome.refused.push(Refused { root, reason, home: Some(home) });
            }
            Some(Home::Away(home)) => judged.welcome.refused.push(home_elsewhere(&root, home)),
            None => judged.welcome.refused.push(home_elsewhere(&root, None)),
        }
    }
    for (root, standing) in hello.serve.into_iter().filter(|(root, _)| !denied.contains(root)) {
        let here = books.standing(&root);
        let away = |handover| Some(Away { home: peer.clone(), handover });
        match (books.home(&root), books.away(&root)) {
            (Some(Home::Away(Some(home))), record) if home == *peer => {
                let handover = record.is_some_and(|record| record.handover);
                if handover && here != standing {
                    // It isn't to commit before it has what is here.
                    judged.sends.push((root.clone(), standing));
                    judged.welcome.handover.push(root);
                    continue;
                }
                if handover {
                    judged.homes.push((root.clone(), away(false)));
                }
            }
            (Some(Home::Here), _) if !books.exists(&root) => judged.homes.push((root.clone(), away(false))),
            (Some(Home::Here), _) => {
                judged.welcome.refused.push(home_elsewhere(&root, Some(own.clone())));
                continue;
            }
            (home, _) => {
                let home = home.and_then(|home| if let Home::Away(home) = home { home } else { None });
                judged.welcome.refused.push(home_elsewhere(&root, home));
                continue;
            }
        }
        judged.welcome.known.push((root.clone(), here));
        judged.follows.push(root);
    }
    judged
}

/// Takes the global's answer: everything that was asked for is in it, and nothing else.
pub(super) fn agree(
    own: &TegaId,
    global: &TegaId,
    (follow, serve): (&[Key], &[Key]),
    welcome: Welcome,
    books: &dyn Books,
) -> Result<Agreed, Closing> {
    let refuse = |reason: String| Err(Closing::new(Code::Refused, reason));
    if global == own {
        return refuse(format!("{own} is linked to itself, or to a server with the same tega ID"));
    }
    if !(1..=PROTOCOL).contains(&welcome.protocol) {
        return refuse(format!("version {} of the link's grammar isn't spoken here", welcome.protocol));
    }
    let is_refused = |root: &Key| welcome.refused.iter().any(|it| it.root == *root);
    let mut agreed =
        Agreed { homes: Vec::new(), sends: Vec::new(), follows: Vec::new(), refused: Vec::new() };
    let mut record = |root: &Key, home: Option<&TegaId>| {
        let wanted = home.map(|home| Away { home: home.clone(), handover: false });
        if books.away(root) != wanted {
            agreed.homes.push((root.clone(), wanted));
        }
    };
    for root in follow.iter().filter(|root| !is_refused(root)) {
        record(root, Some(global));
        agreed.follows.push(root.clone());
    }
    for root in serve.iter().filter(|root| !is_refused(root)) {
        if welcome.handover.contains(root) {
            record(root, Some(global));
            agreed.follows.push(root.clone());
        } else if let Some(known) = welcome.known.iter().find(|(name, _)| name == root) {
            record(root, None);
            agreed.sends.push(known.clone());
        } else {
            return refuse(format!("the global didn't say what becomes of {root}"));
        }
    }
    for it in welcome.refused {
        // A root that was moved here but isn't served has no other home to record.
        if let Some(home) = it.home.as_ref().filter(|home| *home != own) {
            record(&it.root, Some(home));
        }
        agreed.refused.push(it);
    }
    Ok(agreed)
}
