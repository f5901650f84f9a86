//! Who is in: how many connections, from where, which of them idle; and how each is told to go.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use super::limits::Limits;
use crate::system::Budget;

const STAY: u8 = 0;
const LEAVE: u8 = 1;
const LEAVE_NOW: u8 = 2;

/// How far over the limit it may go while the one that was sent away is still leaving.
const LEAVING: usize = 16;

/// One connection, as others see it.
#[derive(Debug, Default)]
pub struct Guest {
    order: AtomicU8,
    /// 0: busy; else one more than the tenths of a second since the door opened when it began to idle.
    idle_since: AtomicU32,
    waker: AtomicWaker,
}

impl Guest {
    /// Whether the connection is to end after what is under way.
    pub fn leaving(&self) -> bool {
        self.order.load(Ordering::Acquire) != STAY
    }

    /// Whether the connection is to end at once.
    pub fn leaving_now(&self) -> bool {
        self.order.load(Ordering::Acquire) == LEAVE_NOW
    }

    /// Has the task of this poll woken by orders, and by [`Guest::wake`].
    pub fn register(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    /// Wakes the connection's task.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Ends the connection at once.
    pub fn cut(&self) {
        self.order(LEAVE_NOW);
    }

    fn order(&self, order: u8) {
        self.order.fetch_max(order, Ordering::AcqRel);
        self.waker.wake();
    }
}

#[derive(Debug, Default)]
struct Book {
    guests: Vec<Option<(Arc<Guest>, Option<IpAddr>)>>,
    free: Vec<usize>,
    count: usize,
    by_address: HashMap<IpAddr, usize>,
    closed: bool,
}

impl Book {
    /// A connection of this address isn't counted any more.
    fn uncount(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        if let Some(n) = self.by_address.get_mut(&address) {
            *n -= 1;
        }
        if self.by_address.get(&address) == Some(&0) {
            self.by_address.remove(&address);
        }
    }
}

/// All connections of a door.
#[derive(Debug)]
pub struct Guests {
    book: Mutex<Book>,
    /// Woken when the last one went.
    empty: AtomicWaker,
    opened: Instant,
    limit: usize,
    per_address: usize,
    stream_limit: usize,
    streams: AtomicUsize,
    memory: Budget,
    accepted: AtomicU32,
    refused: AtomicU32,
    evicted: AtomicU32,
}

/// Why a connection can't come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The door is full, and nobody idles.
    Overall,
    /// Too many of this address.
    Address,
    /// The door is closing.
    Closing,
}

/// The right to be in; ends when it's dropped.
#[derive(Debug)]
pub struct Ticket {
    guests: Arc<Guests>,
    /// What others see of this connection.
    pub guest: Arc<Guest>,
    at: usize,
}

/// The right to hold a connection as a stream.
#[derive(Debug)]
pub struct StreamTicket(Arc<Guests>);

/// Memory that is counted; given back when it's dropped.
#[derive(Debug)]
pub struct Loan {
    guests: Arc<Guests>,
    bytes: usize,
}

/// The door's numbers, for `/_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Connections now.
    pub connections: usize,
    /// WebSockets and event streams now.
    pub streams: usize,
    /// Connections let in since the start; wraps at 2³².
    pub accepted: u32,
    /// Connections refused since the start.
    pub refused: u32,
    /// Idle connections closed for new ones since the start.
    pub evicted: u32,
}

impl Guests {
    /// Nobody yet.
    pub fn new(limits: &Limits) -> Arc<Guests> {
        Arc::new(Guests {
            book: Mutex::default(),
            empty: AtomicWaker::new(),
            opened: Instant::now(),
            limit: limits.connections,
            per_address: limits.per_address,
            stream_limit: limits.streams,
            streams: AtomicUsize::new(0),
            memory: Budget::new(limits.memory),
            accepted: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            evicted: AtomicU32::new(0),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What bodies and answers may take, for others who hold such.
    pub fn memory(&self) -> Budget {
        self.memory.clone()
    }

    /// Lets a connection in. `address` is `None` where it isn't counted. At the limit the one that idles longest is
    /// told to go.
    pub fn enter(self: &Arc<Guests>, address: Option<IpAddr>) -> Result<Ticket, Full> {
        let entered = self.try_enter(address);
        let counter = if entered.is_ok() { &self.accepted } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        entered
    }

    fn try_enter(self: &Arc<Guests>, address: Option<IpAddr>) -> Result<Ticket, Full> {
        let mut book = self.book();
        if book.closed {
            return Err(Full::Closing);
        }
        if let Some(address) = address
            && book.by_address.get(&address).is_some_and(|n| *n >= self.per_address)
        {
            return Err(Full::Address);
        }
        if book.count >= self.limit && (book.count >= self.limit + LEAVING || !self.evict(&book)) {
            return Err(Full::Overall);
        }
        let guest = Arc::new(Guest::default());
        let entry = Some((guest.clone(), address));
        let at = match book.free.pop() {
            Some(at) => at,
            None => {
                book.guests.push(None);
                book.guests.len() - 1
            }
        };
        if let Some(place) = book.guests.get_mut(at) {
            *place = entry;
        }
        book.count += 1;
        if let Some(address) = address {
            *book.by_address.entry(address).or_default() += 1;
        }
        drop(book);
        Ok(Ticket { guests: self.clone(), guest, at })
    }

    /// Tells the connection that idles longest to go. False: nobody idles.
    fn evict(&self, book: &Book) -> bool {
        let idle = book.guests.iter().flatten().filter(|(guest, _)| !guest.leaving());
        let since = idle.map(|(guest, _)| (guest.idle_since.load(Ordering::Relaxed), guest));
        match since.filter(|(since, _)| *since > 0).min_by_key(|(since, _)| *since) {
            Some((_, guest)) => {
                guest.order(LEAVE);
                self.evicted.fetch_add(1, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    /// As when a new connection finds the door full: for when descriptors ran out.
    pub fn make_room(&self) -> bool {
        self.evict(&self.book())
    }

    /// Tells everybody to go, after what is under way or at once. Nobody comes in any more.
    pub fn dismiss(&self, now: bool) {
        let mut book = self.book();
        book.closed = true;
        for (guest, _) in book.guests.iter().flatten() {
            guest.order(if now { LEAVE_NOW } else { LEAVE });
        }
    }

    /// Whether nobody is in; if not, the task of this poll is woken when the last one went.
    pub fn is_empty(&self, context: &Context<'_>) -> bool {
        self.empty.register(context.waker());
        self.book().count == 0
    }

    /// Counts one more stream; `None`: there are too many.
    pub fn stream(self: &Arc<Guests>) -> Option<StreamTicket> {
        let more = |n: usize| (n < self.stream_limit).then_some(n + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(StreamTicket(self.clone()))
    }

    /// An empty loan, to be grown.
    pub fn loan(self: &Arc<Guests>) -> Loan {
        Loan { guests: self.clone(), bytes: 0 }
    }

    /// The numbers now.
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.book().count,
            streams: self.streams.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

impl Ticket {
    /// Notes that the connection waits for a request, or that it has one.
    pub fn idle(&self, idle: bool) {
        let tenths = self.guests.opened.elapsed().as_millis() / 100;
        let since = if idle { u32::try_from(tenths).unwrap_or(u32::MAX - 1) + 1 } else { 0 };
        self.guest.idle_since.store(since, Ordering::Relaxed);
    }

    /// The connection has shown who it is: it doesn't count towards the limit of its address any more, where many may
    /// share one behind a NAT.
    pub fn prove(&self) {
        let mut book = self.guests.book();
        let address = book.guests.get_mut(self.at).and_then(Option::as_mut).and_then(|(_, a)| a.take());
        book.uncount(address);
    }

    /// The door that it's a ticket of.
    pub fn guests(&self) -> &Arc<Guests> {
        &self.guests
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut book = self.guests.book();
        let entry = book.guests.get_mut(self.at).and_then(Option::take);
        book.uncount(entry.and_then(|(_, address)| address));
        book.free.push(self.at);
        book.count -= 1;
        let last = book.count == 0;
        drop(book);
        if last {
            self.guests.empty.wake();
        }
    }
}

impl Drop for StreamTicket {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Loan {
    /// Has at least so many bytes. False: there aren't so many.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let taken = self.guests.memory.take(more);
        self.bytes += if taken { more } else { 0 };
        taken
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.guests.memory.give(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(connections: usize, per_address: usize) -> Arc<Guests> {
        Guests::new(&Limits {
            connections,
            per_address,
            streams: 2,
            memory: 100,
            ..Limits::of(1024, 64 << 20)
        })
    }

    #[test]
    fn at_the_limit_the_longest_idle_one_makes_place() {
        let guests = guests(3, 3);
        let tickets: Vec<Ticket> = (0..3).map(|_| guests.enter(None).unwrap()).collect();
        assert_eq!(guests.enter(None).unwrap_err(), Full::Overall);
        tickets[1].guest.idle_since.store(5, Ordering::Relaxed);
        tickets[2].guest.idle_since.store(4, Ordering::Relaxed);
        let fourth = guests.enter(None).unwrap();
        assert_eq!(tickets.iter().map(|t| t.guest.leaving()).collect::<Vec<_>>(), [false, false, true]);
        let fifth = guests.enter(None).unwrap();
        assert!(tickets[1].guest.leaving() && !tickets[1].guest.leaving_now());
        assert_eq!(guests.enter(None).unwrap_err(), Full::Overall);
        drop((tickets, fourth, fifth));
        let counts = guests.counts();
        assert_eq!((counts.connections, counts.accepted, counts.refused, counts.evicted), (0, 5, 2, 2));
    }

    #[test]
    fn those_that_wont_leave_cant_be_replaced_without_end() {
        let guests = guests(2, 2);
        let mut tickets = Vec::new();
        while let Ok(ticket) = guests.enter(None) {
            ticket.idle(true);
            tickets.push(ticket);
        }
        assert_eq!(tickets.len(), 2 + LEAVING);
    }

    #[test]
    fn an_address_has_its_share() {
        let guests = guests(10, 2);
        let (a, b) = ("10.0.0.1".parse().ok(), "10.0.0.2".parse().ok());
        let first = guests.enter(a).unwrap();
        let _second = guests.enter(a).unwrap();
        assert_eq!(guests.enter(a).unwrap_err(), Full::Address);
        assert!(guests.enter(b).is_ok());
        drop(first);
        assert!(guests.enter(a).is_ok());
    }

    #[test]
    fn whoever_showed_a_token_isnt_counted_towards_the_address() {
        let guests = guests(10, 2);
        let address = "10.0.0.1".parse().ok();
        let known: Vec<Ticket> = (0..5)
            .map(|_| {
                let ticket = guests.enter(address).unwrap();
                ticket.prove();
                ticket.prove();
                ticket
            })
            .collect();
        let strangers = (guests.enter(address).unwrap(), guests.enter(address).unwrap());
        assert_eq!(guests.enter(address).unwrap_err(), Full::Address);
        drop(known);
        assert_eq!(guests.enter(address).unwrap_err(), Full::Address);
        drop(strangers);
        assert!(guests.book().by_address.is_empty());
    }

    #[test]
    fn streams_and_memory_are_counted_and_given_back() {
        let guests = guests(10, 2);
        let streams = (guests.stream().unwrap(), guests.stream().unwrap());
        assert!(guests.stream().is_none());
        drop(streams);
        assert!(guests.stream().is_some());
        let (mut one, mut two) = (guests.loan(), guests.loan());
        assert!(one.grow(60) && one.grow(50) && two.grow(40) && !two.grow(41) && two.grow(30));
        one.clear();
        assert!(two.grow(100) && !one.grow(1));
        drop(two);
        assert!(one.grow(100));
    }

    #[test]
    fn after_the_dismissal_nobody_comes_in() {
        let guests = guests(10, 2);
        let ticket = guests.enter(None).unwrap();
        guests.dismiss(false);
        assert!(ticket.guest.leaving() && !ticket.guest.leaving_now());
        guests.dismiss(true);
        assert!(ticket.guest.leaving_now());
        assert_eq!(guests.enter(None).unwrap_err(), Full::Closing);
    }
}
