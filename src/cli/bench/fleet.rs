//! `tega bench fleet`: a global server and so many locals, which are simulated in this process down to their frames.
//!
//! What is measured, in this order: how long it takes until all have connected and have their configuration; the
//! server's memory for each idle link; from the PUT of a router's configuration to the moment at which that router has
//! applied it; and, when all links are cut at once, how long it takes until all are back, while each comes back with the
//! back-off of a real one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use smol::channel::{Receiver, Sender, bounded};
use smol::{LocalExecutor, Timer};

use super::local::{Local, Round};
use super::stats::{Row, Samples};
use super::ws::{Peer, answered};
use crate::client::Server;
use crate::commit::TegaId;
use crate::link::{BackOff, Closing};
use crate::path::Key;

/// How long all may take to come, or to come back.
const PATIENCE: Duration = Duration::from_secs(300);

/// Puts on their way at once while the roots are made.
const BATCH: usize = 64;

/// What the whole came to.
pub(super) struct Figures {
    /// A row each: connect and sync, put to applied alone, the same with sixteen on the way, and the storm.
    pub(super) rows: Vec<Row>,
    /// KiB of the server before the first link, and with all of them idle; `None`: it isn't on this machine.
    pub(super) memory: Option<(u64, u64)>,
    /// Links that were told to come later, or broke, on the way to all being back.
    pub(super) turned_away: u64,
}

/// What all simulated locals share.
struct Fleet {
    target: Server,
    /// When each local's link was cut or begun; `None`: it has everything.
    away_since: RefCell<Vec<Option<Instant>>>,
    away: Cell<usize>,
    /// When the newest put of each local's root was sent; `None`: it's applied.
    put_at: RefCell<Vec<Option<Instant>>>,
    applied: RefCell<Samples>,
    waiting: Cell<usize>,
    back: RefCell<Samples>,
    turned_away: Cell<u64>,
    /// The last reason why a link ended.
    last: RefCell<String>,
    /// Closed to cut all links that hold the other end.
    cut: RefCell<(Sender<()>, Receiver<()>)>,
}

impl Fleet {
    fn told(&self, number: usize, round: Round) {
        if round.applied > 0
            && let Some(begun) = self.put_at.borrow_mut().get_mut(number).and_then(Option::take)
        {
            self.applied.borrow_mut().add(begun.elapsed());
            self.waiting.set(self.waiting.get().saturating_sub(1));
        }
        if round.synced
            && let Some(since) = self.away_since.borrow_mut().get_mut(number).and_then(Option::take)
        {
            self.back.borrow_mut().add(since.elapsed());
            self.away.set(self.away.get().saturating_sub(1));
        }
    }

    /// All are away from now on.
    fn begin(&self) {
        let mut away = self.away_since.borrow_mut();
        away.iter_mut().for_each(|since| *since = Some(Instant::now()));
        self.away.set(away.len());
        self.turned_away.set(0);
    }

    fn cut(&self) {
        self.begin();
        *self.cut.borrow_mut() = bounded(1);
    }

    async fn until(&self, what: &str, done: impl Fn() -> bool) -> Result<Duration, String> {
        let begun = Instant::now();
        while !done() {
            if begun.elapsed() > PATIENCE {
                let (away, waiting) = (self.away.get(), self.waiting.get());
                return Err(format!(
                    "{what}: {away} locals away and {waiting} puts not applied after {PATIENCE:?}; {}",
                    self.last.borrow()
                ));
            }
            Timer::after(Duration::from_millis(2)).await;
        }
        Ok(begun.elapsed())
    }
}

/// One local, for ever: linked, or on its way back.
async fn local(fleet: Rc<Fleet>, number: usize, mut local: Local) -> Result<(), String> {
    let mut back_off = BackOff::default();
    loop {
        let cut = fleet.cut.borrow().1.clone();
        let mut linked = false;
        let ended = {
            let link = local.link(&fleet.target, |round| {
                linked |= round.synced;
                fleet.told(number, round);
            });
            let cut = async {
                // It's never sent to: this ends when the sender is dropped.
                let _ = cut.recv().await;
                Err("cut".to_string())
            };
            smol::future::or(link, cut).await
        };
        let reason = ended.err().unwrap_or_default();
        let after = Closing::retry_after(&reason);
        if reason != "cut" {
            fleet.turned_away.set(fleet.turned_away.get() + 1);
            *fleet.last.borrow_mut() = reason;
        }
        Timer::after(back_off.wait(linked, after)).await;
    }
}

fn root(number: usize) -> String {
    format!("config-bench-{number}")
}

/// A configuration of about the size of a small router's changes.
fn body(n: usize) -> String {
    format!("{{\"value\":{{\"hostname\":\"router-{n}\",\"lan\":{{\"ip\":\"192.168.1.1\",\"mtu\":1500}}}}}}")
}

/// Runs it all. `rss`: the server's memory in KiB, where it's on this machine.
pub(super) fn run(target: &Server, locals: usize, rss: impl Fn() -> Option<u64>) -> Result<Figures, String> {
    let fleet = Rc::new(Fleet {
        target: target.clone(),
        away_since: RefCell::new(vec![None; locals]),
        away: Cell::new(0),
        put_at: RefCell::new(vec![None; locals]),
        applied: RefCell::default(),
        waiting: Cell::new(0),
        back: RefCell::default(),
        turned_away: Cell::new(0),
        last: RefCell::default(),
        cut: RefCell::new(bounded(1)),
    });
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(whole(&executor, fleet, locals, rss)))
}

async fn whole(
    executor: &LocalExecutor<'_>,
    fleet: Rc<Fleet>,
    locals: usize,
    rss: impl Fn() -> Option<u64>,
) -> Result<Figures, String> {
    let mut writer = Peer::open(&fleet.target, "bench-writer").await?;
    put_all(&fleet, &mut writer, locals, BATCH, 0).await?;
    let before = rss();
    let clients = locals.to_string();
    let label =
        |what: &str, depth: usize| [what.to_string(), "link".into(), clients.clone(), depth.to_string()];
    let mut rows = Vec::new();

    fleet.begin();
    for number in 0..locals {
        let id = TegaId::new(&format!("bench-{number}")).map_err(|error| error.to_string())?;
        let task = executor.spawn(local(fleet.clone(), number, Local::new(id, Key::from(root(number)))));
        task.detach();
    }
    let time = fleet.until("first sync", || fleet.away.get() == 0).await?;
    rows.push(Row::new(label("sync", 1), &fleet.back.take(), time, rss()));
    let memory = before.zip(rss());

    for (depth, round) in [(1, 1), (16, 2)] {
        fleet.applied.take();
        fleet.waiting.set(locals);
        let begun = Instant::now();
        put_all(&fleet, &mut writer, locals, depth, round).await?;
        fleet.until("puts", || fleet.waiting.get() == 0).await?;
        rows.push(Row::new(label("applied", depth), &fleet.applied.take(), begun.elapsed(), rss()));
    }

    fleet.cut();
    let time = fleet.until("the storm", || fleet.away.get() == 0).await?;
    rows.push(Row::new(label("storm", 1), &fleet.back.take(), time, rss()));
    Ok(Figures { rows, memory, turned_away: fleet.turned_away.get() })
}

/// Puts every root once, so many at a time; the next goes when one is answered.
async fn put_all(
    fleet: &Fleet,
    writer: &mut Peer,
    locals: usize,
    depth: usize,
    round: usize,
) -> Result<(), String> {
    let (mut next, mut open) = (0, 0);
    while next < locals || open > 0 {
        while next < locals && open < depth {
            if let Some(at) = fleet.put_at.borrow_mut().get_mut(next) {
                *at = (round > 0).then(Instant::now);
            }
            let text = body(next + round * locals);
            writer.say(&format!("REQUEST {next} PUT bench-writer {}\n{text}", root(next)));
            (next, open) = (next + 1, open + 1);
        }
        writer.fill().await?;
        while let Some(text) = writer.ready()? {
            open -= usize::from(answered(&text)?.is_some());
        }
    }
    Ok(())
}
